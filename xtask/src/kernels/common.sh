#!/bin/busybox sh
# What the first programs of all machines begin with. What they are to do lies in /plan, what comes out goes to the
# console between lines that begin with @@.

/bin/busybox --install -s /bin
export PATH=/bin HOME=/ RUST_BACKTRACE=1
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
ip link set lo up

base=http://127.0.0.1:9737

# section NAME STATUS FILE...: prints files, so that the other side knows where they begin and end.
section() {
    local name=$1 status=$2
    shift 2
    echo "@@ begin $name"
    cat "$@" 2>&1
    echo
    echo "@@ end $name $status"
}

# until CONDITION...: waits for it for 60 s.
until_true() {
    local tries=600
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.1
    done
}
