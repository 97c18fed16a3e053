# The first and only program of a machine that judges one kernel.

sessions() {
    wget -q -O - $base/metrics | awk '/^state_watchdog_write_sessions_total/ { n += $NF } END { print n + 0 }'
}
enough_sessions() { [ "$(sessions)" -ge "$1" ]; }

# programs PID: what the kernel says of each BPF program that a process holds, one line each.
programs() {
    for descriptor in /proc/"$1"/fdinfo/*; do
        grep -q '^prog_id:' "$descriptor" && tr '\t\n' ' ' <"$descriptor" && echo
    done
}

# container DOOR MEDIUM HOW STYLE WRITES READS: one writer and its readers beside the agent.
container() {
    local status readers file=/media/$2/$1/$2-$3-$4/state.json out=/tmp/$1.$2-$3-$4
    local both="--file $file --progress /run/progress/$1-$2-$3-$4 --writes $5 --reads $6"
    watchdog-workload read --style "$4" $both >"$out.reads" 2>"$out.errors" &
    readers=$!
    watchdog-workload write --how "$3" $both >"$out.writes" 2>>"$out.errors"
    status=$?
    wait $readers || status=$?
    section "$1.$2-$3-$4.errors" $status "$out.errors"
    section "$1.$2-$3-$4.writes" $status "$out.writes"
    section "$1.$2-$3-$4.reads" $status "$out.reads"
}

# door NAME ENVIRONMENT ARGUMENTS: the ground truth with one source on all media.
door() {
    local status agent medium saves=0 roots=
    echo "$(cut -d' ' -f1 /proc/uptime) s: $1"
    for medium in $media; do
        roots="$roots --root $medium=/media/$medium/$1"
        while read -r how style writes reads; do
            mkdir -p "/media/$medium/$1/$medium-$how-$style"
            watchdog-workload prepare "/media/$medium/$1/$medium-$how-$style/state.json"
            # Of saves through one description it sees modifications, and no beginning.
            [ "$1-$how" = inotify-daemon ] && saves=$((saves + 1)) || saves=$((saves + writes))
        done </plan/containers
    done
    env $2 state-watchdog run --findings json $3 $roots >"/tmp/$1.findings" 2>"/tmp/$1.log" &
    agent=$!
    if until_true wget -q -O /dev/null $base/readyz; then
        for medium in $media; do
            while read -r how style writes reads; do
                container "$1" "$medium" "$how" "$style" "$writes" "$reads"
            done </plan/containers
        done
        until_true enough_sessions $saves
        wget -q -O "/tmp/$1.metrics" $base/metrics
        wget -q -O "/tmp/$1.status" $base/status
        programs $agent >"/tmp/$1.programs"
        kill -TERM $agent
    else
        kill -KILL $agent
    fi
    wait $agent
    status=$?
    section "$1.log" $status "/tmp/$1.log"
    section "$1.programs" $status "/tmp/$1.programs"
    section "$1.metrics" $status "/tmp/$1.metrics"
    section "$1.status" $status "/tmp/$1.status"
    section "$1.findings" $status "/tmp/$1.findings"
}

# tests DOOR ENVIRONMENT NAME FILTER: the agent's own tests with one source on all media.
tests() {
    local medium
    echo "$(cut -d' ' -f1 /proc/uptime) s: the tests of $1"
    for medium in $media; do mkdir -p "/media/$medium/tests"; done
    : >/tmp/unseen
    "/$3-tests" --list $4 >/tmp/list
    section "$1.list" $? /tmp/list
    # A test that cannot run here must fail.
    env CI=true $2 STATE_WATCHDOG_TEST_UNSEEN=/tmp/unseen STATE_WATCHDOG_TEST_TMPFS=/media/tmpfs/tests STATE_WATCHDOG_TEST_DISK=/media/ext4/tests \
        STATE_WATCHDOG_TEST_OVERLAY=/media/overlay/tests \
        timeout "$(cat /plan/tests-limit)" "/$3-tests" --test-threads=1 $4 >/tmp/tests 2>&1
    section "$1.tests" $? /tmp/tests
    section "$1.unseen" 0 /tmp/unseen
}

# ways DOOR ENVIRONMENT SOURCE: each way to write or read a state file, as docs/PLATFORM.md has them.
ways() {
    echo "$(cut -d' ' -f1 /proc/uptime) s: the ways of $1"
    mkdir -p /dev/shm
    env CI=true $2 STATE_WATCHDOG_TEST_AGENT=/bin/state-watchdog \
        timeout "$(cat /plan/tests-limit)" /ways-tests --test-threads=1 --nocapture "under_$3" >/tmp/ways 2>&1
    section "$1.ways" $? /tmp/ways
}

# lockdown STATE: locks the kernel further down, which cannot be undone, and what the agent makes of that.
lockdown() {
    local agent root=/run/locked
    echo "$(cut -d' ' -f1 /proc/uptime) s: lockdown $1"
    if [ -e /sys/kernel/security/lockdown ]; then echo "$1" >/sys/kernel/security/lockdown; fi
    mkdir -p $root/a
    echo '{}' >$root/a/state.json
    state-watchdog doctor --json --root locked=$root >/tmp/doctor 2>&1
    section "lockdown.$1.doctor" $? /tmp/doctor
    state-watchdog run --findings json --root locked=$root >/tmp/findings 2>/tmp/log &
    agent=$!
    if until_true wget -q -O /dev/null $base/readyz; then
        echo '{ }' >$root/a/state.json
        until_true grep -q nonatomic_write /tmp/findings
        wget -q -O /tmp/status $base/status
    fi
    kill -TERM $agent
    wait $agent
    section "lockdown.$1.log" $? /tmp/log
    section "lockdown.$1.findings" 0 /tmp/findings
    section "lockdown.$1.status" 0 /tmp/status
}

uname -r >/tmp/kernel
section kernel 0 /tmp/kernel
mkdir -p /run/progress
state-watchdog doctor --json >/tmp/doctor 2>/tmp/doctor.log
section doctor $? /tmp/doctor
section doctor.log 0 /tmp/doctor.log
while IFS='|' read -r name environment arguments tests filter; do
    door "$name" "$environment" "$arguments"
    tests "$name" "$environment" "$tests" "$filter"
    # The other sources' ways are gone on the machine that tests.
    case $arguments in *vfs) ways "$name" "$environment" vfs ;; esac
done </plan/doors
lockdown integrity
lockdown confidentiality
# What is not told is found out.
umount /sys/kernel/security
lockdown unsaid
cat /proc/sys/kernel/tainted >/tmp/tainted
dmesg | grep -v -e 'Command line' | tail -n 40 >>/tmp/tainted
section tainted 0 /tmp/tainted
echo "@@ done"
poweroff -f
