# install.sh MAJOR HOME FLAGS: give Debian's Java of that major the home HOME,
# where java is a launcher that knows the machine.
set -eu
real=$(echo /usr/lib/jvm/java-"$1"-openjdk-*)
[ -x "$real/bin/java" ]
rm -rf "$2"
mkdir -p "$2/bin"
for part in "$real"/*; do
	[ "$part" = "$real/bin" ] || ln -s "$part" "$2/"
done
ln -s "$real"/bin/* "$2/bin/"
printf '%s' "$3" >"$2/flags.sh"
rm "$2/bin/java"
cat >"$2/bin/java" <<END
#!/bin/sh
# The JVM's own default is a quarter of the memory (Java 8 wants the decimal).
# What the caller says comes later and counts.
set -f
. $2/flags.sh
exec $real/bin/java -XX:MaxRAMPercentage=70.0 \$flags "\$@"
END
chmod 755 "$2/bin/java"
