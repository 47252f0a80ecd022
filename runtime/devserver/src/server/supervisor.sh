# Runs one NATS server and outlives whoever started it just long enough to
# clean up: standard input is a pipe that only the starter holds, so its end
# of file means that the starter let go or is gone, however it died.
#
# usage: sh -c <this> supervisor RUN_DIR COMMAND...
#
# Says "pid N" once the server is a process and "exit N" when it is not any
# more, then waits for the end of file and removes RUN_DIR, unless a later
# supervisor has written itself into RUN_DIR/owner (a restart).
run=$1
shift
PATH=$PATH:/usr/bin:/bin
exec 3<&0
echo $$ >"$run/owner"

"$@" </dev/null >>"$run/server.log" 2>&1 3<&- &
server=$!

(
    while read -r line <&3; do :; done
    kill -TERM "$server"
    kill -CONT "$server" # A paused server cannot act on TERM.
    waited=0
    while [ "$waited" -lt 15 ] && kill -0 "$server"; do
        sleep 1
        waited=$((waited + 1))
    done
    kill -KILL "$server"
) >/dev/null 2>&1 &
watcher=$!

# Only now, as children inherit ignored signals. What ends a whole session
# or group must not end the one who cleans up.
trap '' HUP INT TERM PIPE

echo "pid $server"
wait "$server"
code=$?
# The number may belong to another process from now on.
kill -KILL "$watcher"
wait "$watcher"
echo "exit $code"

while read -r line <&3; do :; done
read -r owner <"$run/owner"
if [ "$owner" = "$$" ]; then
    rm -rf -- "$run"
fi
