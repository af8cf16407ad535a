# gradle.sh PROGRAM TASK WHAT [DIR...]: build /app, then see what of it is to be
# started. WHAT is "jar", "script", "war", "nothing" or "test".
main() {
	set -euf
	program=$1 task=$2 what=$3
	shift 3
	# The JVM that builds is not started by our launcher, so it is told apart.
	. "$JAVA_HOME/flags.sh"
	gradle() { $program --no-daemon --console=plain $flags "$@"; }
	if [ "$what" = test ]; then
		gradle testClasses
	else
		gradle ${GRADLE_TASK:-$task}
	fi
	case $what in
	jar) pick "$@" ;;
	script) pick_script "$@" ;;
	war) pick_war "$@" ;;
	test)
		mkdir -p .berth/java
		cp -r "$GRADLE_USER_HOME" .berth/java/.gradle
		printf 'GRADLE_USER_HOME=$HOME/.gradle exec %s --no-daemon --console=plain test\n' "$program" >.berth/java/test
		;;
	esac
}
