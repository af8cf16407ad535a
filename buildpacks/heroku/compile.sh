# Runs Heroku-style buildpacks, in the order given, on the app in $APP_DIR:
#
#   detect BUILD_DIR, compile BUILD_DIR CACHE_DIR ENV_DIR, then its export file
#   is read before the next one, and release of the last one is kept.
#
# Each argument is a directory of the repository, or the address of a git
# repository or a .tgz, with #REF for a branch, a tag or a commit. BERTH_CONFIG
# names the variables of the app's config.
set -euo pipefail

app=${APP_DIR:-/app} cache=${CACHE_DIR:-/cache/heroku} scratch=${SCRATCH_DIR:-/tmp}
build=$scratch/build env=$scratch/env packs=$scratch/buildpacks
mkdir -p "$build" "$env" "$packs" "$cache/git" "$cache/app"

# What buildpacks expect to find, whoever they were written for.
export STACK=${STACK:-heroku-24} HOME=$app TMPDIR=$scratch

say() { printf -- '-> %s\n' "$*"; }
fail() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# The config goes into files alone, as on Heroku: a buildpack takes what it
# wants of it.
for name in ${BERTH_CONFIG:-}; do
	printf '%s' "${!name-}" >"$env/$name"
	unset "$name"
done
unset BERTH_CONFIG

# Buildpacks build in a directory that is not /app, and may write there too.
shopt -s dotglob nullglob
entries=("$app"/*)
[[ ${#entries[@]} -eq 0 ]] || mv -t "$build" -- "${entries[@]}"

# fetch ADDRESS DIR: a clone that is kept between builds, at the ref or the
# newest commit. It is called in a condition, where set -e has no effect.
fetch() {
	local url=${1%%#*} ref=HEAD commit=FETCH_HEAD
	[[ $1 != *#* ]] || ref=${1#*#}
	mkdir -p "$2" || return
	if [[ $url == *.tgz || $url == *.tar.gz ]]; then
		curl -fsSL --retry 3 --max-time 300 -- "$url" | tar -xz -C "$2"
		return
	fi
	GIT_DIR=$cache/git/$(printf '%s' "$url" | sha256sum | cut -c1-24)
	export GIT_DIR
	[[ -d $GIT_DIR ]] || git init -q --bare "$GIT_DIR" || return
	if ! git fetch -q --depth 1 -- "$url" "$ref" 2>/dev/null; then
		# An abbreviated commit is found in a whole history alone.
		git fetch -q -- "$url" '+refs/*:refs/all/*' &&
			commit=$(git rev-parse -q --verify --end-of-options "$ref^{commit}") || return
	fi
	git --work-tree "$2" checkout -q -f "$commit" -- .
}

n=0
for pack; do
	n=$((n + 1)) dir=$packs/$n
	if [[ $pack == *://* ]]; then
		(fetch "$pack" "$dir") || fail "the buildpack $pack cannot be fetched"
	else
		[[ -d $build/$pack ]] || fail "the repository has no directory $pack"
		cp -a -- "$build/$pack" "$dir"
	fi
	[[ -f $dir/bin/compile ]] || fail "$pack is no buildpack: it has no bin/compile"
	chmod +x "$dir"/bin/*
	name=$pack
	if [[ -f $dir/bin/detect ]]; then
		name=$("$dir/bin/detect" "$build") || fail "the buildpack $pack does not fit this app (bin/detect said no)"
	fi
	say "$name"
	"$dir/bin/compile" "$build" "$cache/app" "$env" || fail "the buildpack $pack failed (bin/compile)"
	if [[ -f $dir/export ]]; then
		set +u
		# shellcheck disable=SC1091
		source "$dir/export"
		set -u
	fi
	: >"$scratch/release"
	if [[ -f $dir/bin/release ]]; then
		"$dir/bin/release" "$build" >"$scratch/release" || fail "the buildpack $pack failed (bin/release)"
	fi
done

# What it wrote to /app besides the build directory stays below the app's own.
entries=("$build"/*)
[[ ${#entries[@]} -eq 0 ]] || cp -a --remove-destination -t "$app" -- "${entries[@]}"
mkdir -p "$app/.berth"
mv "$scratch/release" "$app/.berth/release.yml"
cat >"$app/.berth/profile.sh" <<'EOF'
# Read by the shell that starts a process, and by no shell below it.
unset BASH_ENV
for script in /app/.profile.d/*.sh; do [ ! -f "$script" ] || . "$script"; done
unset script
[ ! -f /app/.profile ] || . /app/.profile
EOF
