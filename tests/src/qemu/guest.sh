# Words for scripts of guests with Portreeve. `. /lib.sh`
set -e
mkdir -p /run/portreeve
for conf in all default; do echo 0 >/proc/sys/net/ipv6/conf/$conf/accept_dad; done

# A namespace with its loopback up; addresses are usable at once.
space() {
    ip netns add "$1"
    ip netns exec "$1" sh -c 'for c in all default; do echo 0 >/proc/sys/net/ipv6/conf/$c/accept_dad; done'
    ip -n "$1" link set lo up
}

# join SPACE LINK SPACE LINK: a veth pair, both ends up.
join() {
    ip link add "$2" netns "$1" type veth peer name "$4" netns "$3"
    ip -n "$1" link set "$2" up
    ip -n "$3" link set "$4" up
}

seconds() { cut -d. -f1 /proc/uptime; }

# within SECONDS COMMAND...: runs it until it succeeds. The time that is over ends the script, with what it printed.
within() {
    end=$(($(seconds) + $1))
    shift
    until "$@" >/tmp/within 2>&1; do
        if [ "$(seconds)" -ge $end ]; then
            echo "not in time: $*"
            cat /tmp/within
            for log in /run/portreeve/*.log; do
                echo "--- $log"
                tail -n 60 "$log"
            done
            exit 1
        fi
        sleep 0.1
    done
}

# core NAME [SPACE]: starts the router with /etc/portreeve/NAME.ron and waits until its plugins are known. Each has a
# flash of its own. On a busy host a plugin's first half second of processor time may be over before it has said who it
# is, since what QEMU does for it counts: then the configuration is read again.
core() {
    mkdir -p /run/portreeve/$1.flash
    cp -a /flash/. /run/portreeve/$1.flash/
    set -- "$1" ${2:+ip netns exec $2}
    name=$1
    shift
    "$@" portreeve run --config /etc/portreeve/$name.ron --plugins /lib/portreeve/plugins \
        --state /run/portreeve/$name --flash /run/portreeve/$name.flash --control /run/portreeve/$name.sock \
        >/run/portreeve/$name.log 2>&1 &
    echo $! >/run/portreeve/$name.pid
    within 30 ask $name status
    within 60 known $name
}

known() {
    ask $1 status >/tmp/known 2>&1
    cat /tmp/known
    if grep -q ' failed ' /tmp/known; then
        kill -HUP "$(cat /run/portreeve/$1.pid)"
        sleep 1
        return 1
    fi
}

# ask NAME WORDS...: `portreeve WORDS` to the core of this name.
ask() {
    to=$1
    shift
    portreeve "$@" --control /run/portreeve/$to.sock
}

# shows TEXT COMMAND...: whether its output has the text.
shows() {
    text=$1
    shift
    "$@" >/tmp/shows 2>&1 || true
    cat /tmp/shows
    grep -qF -- "$text" /tmp/shows
}

# stop NAME: SIGTERM, and waits for the end.
stop() {
    kill "$(cat /run/portreeve/$1.pid)"
    wait "$(cat /run/portreeve/$1.pid)" || true
}

pings() { ip netns exec "$1" ping -n -c 3 -i 0.2 -W 5 "$2"; }
