# The first and only program of a machine that runs some of the agent's own tests again and again.

times=$(cat /plan/times)
case=$(cat /plan/case)
while IFS='|' read -r name environment arguments program filter; do
    run=0
    passed=0
    while [ $run -lt "$times" ]; do
        run=$((run + 1))
        for medium in $media; do mkdir -p "/media/$medium/tests"; done
        env CI=true $environment STATE_WATCHDOG_TEST_UNSEEN=/tmp/unseen STATE_WATCHDOG_TEST_TMPFS=/media/tmpfs/tests \
            STATE_WATCHDOG_TEST_DISK=/media/ext4/tests STATE_WATCHDOG_TEST_OVERLAY=/media/overlay/tests \
            timeout "$(cat /plan/tests-limit)" "/$program-tests" --test-threads=1 --nocapture "$case" >/tmp/tests 2>&1
        status=$?
        # A name that no test has passes, too.
        if [ $status -eq 0 ] && grep -q 'test result: ok. [1-9]' /tmp/tests; then
            passed=$((passed + 1))
        else
            section "$name.run-$run" $status /tmp/tests
        fi
    done
    echo "$passed" >/tmp/passed
    section "$name.passed" 0 /tmp/passed
done </plan/doors
echo "@@ done"
poweroff -f
