#!/bin/sh -eu
# Makes testdata/format1: a state as the last berth wrote it that knew format 1,
# with one of everything (see fillFormat1 in store/format1_test.go). Its secrets
# are invented here. It needs the history of the repository.
#
#	store/testdata/make-format1.sh
commit=dc12a4866cb4619050582222b9164d4b0878c45f
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'git -C "$here" worktree remove --force "$work/tree"; rm -rf "$work"' EXIT
git -C "$here" worktree add --quiet --detach "$work/tree" "$commit"
cp "$here/format1_test.go" "$work/tree/store/"
mkdir "$work/state"
cd "$work/tree"
BERTH_MAKE_FORMAT1=$work/state go test -count=1 ./store -run 'TestMakeFormat1$'
mkdir -p "$here/testdata/format1"
gzip -9 -n <"$work/state/berth.db" >"$here/testdata/format1/berth.db.gz"
cp "$work/state/secret.key" "$work/state/nouns.txt" "$here/testdata/format1/"
chmod 644 "$here/testdata/format1/"*
