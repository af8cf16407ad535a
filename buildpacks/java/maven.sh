# maven.sh PROGRAM WHAT [DIR...]: build /app, then see what of it is to be
# started. WHAT is "jar", "war:ARTIFACT" with the container to run it in,
# "nothing", "container:ARTIFACT" for a war that is built already, or "test".
# "itself:ARTIFACT" DIR JAVA_HOME fetches a Maven into DIR, as root, by Debian's.
main() {
	set -euf
	program=$1 what=$2
	shift 2
	case $what in
	itself:* | container:*) ;;
	test) # no test at all: what runs them is fetched nevertheless
		brief
		mvn -Dtest=nothing -Dsurefire.failIfNoSpecifiedTests=false -DfailIfNoTests=false test
		;;
	*)
		brief
		mvn ${MAVEN_CUSTOM_OPTS:--DskipTests} ${MAVEN_CUSTOM_GOALS:-package}
		;;
	esac
	case $what in
	jar) pick "$@" ;;
	war:*)
		pick_war "$@"
		container "${what#*:}"
		;;
	container:*) container "${what#*:}" ;;
	itself:*) itself "${what#*:}" "$@" ;;
	test)
		mkdir -p .berth/java
		cp -r "$HOME/.m2" .berth/java/.m2
		printf 'exec %s -B %s %s test\n' "$program" "$quiet" "${settings:+-s $settings}" >.berth/java/test
		;;
	esac
}

# brief: have the JVM of a small build compile itself quickly and not well, for
# it is over before the other has paid: a third less time, half the processor. A
# large build is faster as the JVM is by default, and its author may know better.
brief() {
	if [ -z "${MAVEN_OPTS-}" ] && [ ! -f .mvn/jvm.config ] && [ "$(sources)" -lt 300 ]; then
		export MAVEN_OPTS=-XX:TieredStopAtLevel=1
	fi
}

# sources: how many files there are to be compiled.
sources() {
	find . -path ./.git -prune -o -type f \( -name '*.java' -o -name '*.kt' -o -name '*.scala' -o -name '*.groovy' \) -print | wc -l
}

# mvn ARGS...: the program, with what the machine and the repository say.
mvn() {
	settings=${MAVEN_SETTINGS_PATH:-}
	if [ -z "$settings" ] && [ -f settings.xml ]; then
		settings=settings.xml
	fi
	if [ -n "$settings" ]; then
		set -- -s "$settings" "$@"
	fi
	if [ -n "${MVNW_REPOURL-}" ]; then
		mirror >/tmp/mirror.xml
		set -- -gs /tmp/mirror.xml "$@"
	fi
	# Each file that is fetched would have a line of its own, and two that warn of
	# the proxies, which are the operator's.
	log=-Dorg.slf4j.simpleLogger.log
	quiet="$log.org.apache.maven.cli.transfer.Slf4jMavenTransferListener=warn $log.org.eclipse.aether.transport.http.HttpTransporter=error"
	$program -B $quiet -Daether.connector.http.useSystemProperties=true "$@"
}

# mirror: the settings of a machine whose operator names a repository. The
# wrapper keeps the variables of that name for itself.
mirror() {
	export BERTH_REPOURL="$MVNW_REPOURL" BERTH_USERNAME="${MVNW_USERNAME-}" BERTH_PASSWORD="${MVNW_PASSWORD-}"
	cat <<-'END'
		<settings>
		<mirrors><mirror><id>operator</id><mirrorOf>central</mirrorOf><url>${env.BERTH_REPOURL}</url></mirror></mirrors>
	END
	if [ -n "$BERTH_USERNAME" ]; then
		cat <<-'END'
			<servers><server><id>operator</id>
			<username>${env.BERTH_USERNAME}</username><password>${env.BERTH_PASSWORD}</password>
			</server></servers>
		END
	fi
	echo '</settings>'
}

# itself ARTIFACT DIR JAVA_HOME: fetch a Maven. Debian's has plugins of Debian's versions
# by default, old ones among them, and poms are written for those of upstream.
itself() {
	export JAVA_HOME="$3"
	mvn -q dependency:copy -Dartifact="$1" -DoutputDirectory=/tmp/maven
	set +f
	mkdir "$2"
	tar -xzf /tmp/maven/*.tar.gz -C "$2" --strip-components=1
	rm -rf /tmp/maven /tmp/mirror.xml /tmp/java-trust.p12 "$HOME/.m2" # the certificates are a machine's, the layer is everybody's
}

# container ARTIFACT: fetch a servlet container that is one jar. Packing it into
# one has lost the line by which the compiler of JSPs is found.
container() {
	mkdir -p .berth/java/container
	mvn -q dependency:copy -Dartifact="$1" -DoutputDirectory=/app/.berth/java/container
	case $1 in
	*:webapp-runner:*) api=javax jsp=org.apache.jasper.servlet.JasperInitializer ;;
	*) api=jakarta jsp=org.eclipse.jetty.ee10.apache.jsp.JettyJasperInitializer ;;
	esac
	set +f
	mv .berth/java/container/*.jar .berth/java/container.jar
	list=META-INF/services/$api.servlet.ServletContainerInitializer
	mkdir -p .berth/java/container/META-INF/services
	{
		unzip -p .berth/java/container.jar $list
		printf '\n%s\n' "$jsp"
	} >.berth/java/container/$list
	jar uf .berth/java/container.jar -C .berth/java/container $list
	rm -r .berth/java/container
}
