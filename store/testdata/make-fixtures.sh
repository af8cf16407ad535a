#!/bin/sh -eu
# Makes testdata/formatN: a state as the last berth wrote it that knew format N,
# with one of everything (see fillFormat1 in store/format1_test.go). Its secrets
# are invented here. It needs the history of the repository.
#
#	store/testdata/make-fixtures.sh
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'git -C "$here" worktree remove --force "$work/tree"; rm -rf "$work"' EXIT

# Every berth compiles the test that fills the state as it was in the last one.
last=36cce4f179af02b70dfcce296c28c81cb0f14d54
git -C "$here" worktree add --quiet --detach "$work/tree" "$last"
cp "$work/tree/store/format1_test.go" "$work/fill_test.go"
while read -r format commit; do
	git -C "$work/tree" checkout --quiet --force "$commit"
	cp "$work/fill_test.go" "$work/tree/store/format1_test.go"
	mkdir "$work/state"
	(cd "$work/tree" && BERTH_MAKE_FORMAT1=$work/state go test -count=1 ./store -run 'TestMakeFormat1$')
	mkdir -p "$here/testdata/format$format"
	gzip -9 -n <"$work/state/berth.db" >"$here/testdata/format$format/berth.db.gz"
	cp "$work/state/secret.key" "$work/state/nouns.txt" "$here/testdata/format$format/"
	chmod 644 "$here/testdata/format$format/"*
	rm -r "$work/state"
done <<END
1 dc12a4866cb4619050582222b9164d4b0878c45f
2 $last
END
