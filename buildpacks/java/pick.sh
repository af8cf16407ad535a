
# executable JAR: whether it says what to start.
executable() {
	unzip -p "$1" META-INF/MANIFEST.MF 2>/dev/null | grep -q '^Main-Class:'
}

# pick DIR...: of what was built, the first that can be started; those that hold
# their libraries come before those that may not.
pick() {
	set +f
	for dir; do
		for jar in "$dir"/quarkus-app/quarkus-run.jar "$dir"/*-runner.jar "$dir"/*-jar-with-dependencies.jar \
			"$dir"/*-shaded.jar "$dir"/*-all.jar "$dir"/*-fat.jar "$dir"/*.jar "$dir"/*.war; do
			case $jar in
			*/original-*.jar | *-sources.jar | *-javadoc.jar | *-tests.jar | *-plain.jar) continue ;;
			esac
			if [ -f "$jar" ] && executable "$jar"; then
				started "$jar"
				return
			fi
		done
	done
	fail 'built, but no jar has a Main-Class that could be started in:' "$@"
}

# pick_war DIR...: the first war.
pick_war() {
	set +f
	for dir; do
		for war in "$dir"/*.war; do
			if [ -f "$war" ]; then
				started "$war"
				return
			fi
		done
	done
	fail 'built, but there is no war in:' "$@"
}

# pick_script DIR...: the first start script that Gradle has installed.
pick_script() {
	set +f
	for dir; do
		for script in "$dir"/*/bin/*; do
			case $script in
			*.bat) continue ;;
			esac
			if [ -x "$script" ]; then
				started "$script"
				return
			fi
		done
	done
	fail 'built, but there is no start script in:' "$@"
}

started() {
	mkdir -p .berth/java
	printf %s "$1" >.berth/java/start
	echo "starts $1"
}

fail() {
	echo "$*" >&2
	exit 1
}

main "$@"
