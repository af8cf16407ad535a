# Looks whether the archives that apt is to read from can be reached, and says
# of each that cannot which host it is and why. apt itself tries for minutes,
# in silence. Each host is tried twice, for 8 s each time.
[ -z "${MMDEBSTRAP_APT_CONFIG:-}" ] || export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG
proxy=
for name in Acquire::http::Proxy Acquire::https::Proxy; do
  value=
  eval "$(apt-config shell value "$name")"
  case $value in DIRECT|'') ;; *) proxy=$value ;; esac
done
detect=
eval "$(apt-config shell detect Acquire::http::Proxy-Auto-Detect)"
[ -z "$detect" ] || exit 0 # a program of the operator's says which proxy, for each address
! apt-config dump | grep -q '^Acquire::https\?::Proxy::' || exit 0 # some hosts have one of their own
[ -n "$proxy" ] || proxy=${http_proxy:-${https_proxy:-}}
if [ -n "$proxy" ]; then
  uris=$proxy
else
  uris=$(apt-get update --print-uris | sed -n "s/^'\([^']*\)'.*/\1/p")
fi

reach() { # HOST PORT
  for try in 1 2; do
    [ "$try" = 1 ] || sleep 1
    why="cannot resolve $1: no such host, or no DNS server answers"
    timeout 8 getent ahosts "$1" >/dev/null || continue
    why="cannot connect to $1:$2"
    timeout 8 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null && return 0
  done
  echo "$why"
  return 1
}

tried=
pids=
for uri in $uris; do
  case $uri in http://*) port=80 ;; https://*) port=443 ;; *) continue ;; esac
  host=${uri#*://}; host=${host%%/*}; host=${host##*@}
  case $host in
    \[*) continue ;; # an IPv6 address; apt says what it makes of it
    *:*) port=${host##*:}; host=${host%:*} ;;
  esac
  case " $tried " in *" $host:$port "*) continue ;; esac
  tried="$tried $host:$port"
  reach "$host" "$port" &
  pids="$pids $!"
done
failed=0
for pid in $pids; do
  wait "$pid" 2>/dev/null || failed=1
done
exit $failed
