# The first and only program of a machine that counts instructions.

# count NAME: what unrelated calls cost now.
count() {
    # What was detached a moment ago is not gone yet.
    sleep 2
    watchdog-workload instructions /tmp >/tmp/count 2>&1
    section "$1" $? /tmp/count
}

# empty KIND: with empty programs where the agent has its own.
empty() {
    local holder
    empty-doors "$1" >/tmp/ready 2>&1 &
    holder=$!
    if until_true grep -q ready /tmp/ready; then count "empty-$1"; else section "empty-$1" 1 /tmp/ready; fi
    kill $holder
    wait $holder
}

# door NAME ENVIRONMENT ARGUMENTS: with the agent, while no state file is open, and while one is.
door() {
    local agent
    env $2 state-watchdog run --findings none $3 --root counted=/run/root >/tmp/log 2>&1 &
    agent=$!
    if until_true wget -q -O /dev/null $base/readyz; then
        count "$1"
        exec 4</run/root/a/state.json
        count "$1-tracked"
        exec 4<&-
        wget -q -O /tmp/status $base/status
        section "$1.status" $? /tmp/status
    else
        section "$1" 1 /tmp/log
    fi
    kill -TERM $agent
    wait $agent
}

uname -r >/tmp/kernel
section kernel 0 /tmp/kernel
# Where things lie decides how many instructions some copies take.
echo 0 >/proc/sys/kernel/randomize_va_space
mkdir -p /run/root/a
echo '{}' >/run/root/a/state.json
count off
empty fentry
empty kprobe
empty mixed
while IFS='|' read -r name environment arguments _; do
    door "$name" "$environment" "$arguments"
done </plan/doors
count off-again
echo "@@ done"
poweroff -f
