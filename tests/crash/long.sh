#!/bin/sh
# long.sh PROGRAM FOLDER WANTED - recovers crash states until WANTED are done, one worker per
# core. FOLDER/done has a line for each seed that was finished: seed, states, seconds. Stopped
# at any moment, it goes on at the next call with the seeds that are not there. CORES=n is
# another number of workers, UNIT=n another number of states per seed.
set -eu
program=$1 folder=$2 wanted=$3
cores=${CORES:-$(nproc)} unit=${UNIT:-60000} first=${TEST_SEED:-1000000}
mkdir -p "$folder"
touch "$folder/done"

states() { awk '{n += $2} END {print n + 0}' "$folder/done"; }

worker() { # takes the seeds first + worker * 1000, first + (worker + cores) * 1000 ...
    seed=$((first + $1 * 1000))
    while [ ! -e "$folder/failed" ] && [ "$(states)" -lt "$wanted" ]; do
        if ! grep -q "^$seed " "$folder/done"; then
            begin=$(date +%s) dir=$(mktemp -d) out="$folder/$seed.out" status=0
            CRASH_STATES=$unit "$program" --dir "$dir" --seed "$seed" power/ >"$out" 2>&1 || status=$?
            rm -rf "$dir"
            if [ "$status" != 0 ]; then
                echo "seed $seed: exit $status" | tee "$folder/failed"
                grep -v '^ok' "$out"
                return 1
            fi
            n=$(awk '/^# crash states: / {n += $4} END {print n + 0}' "$out")
            echo "$seed $n $(($(date +%s) - begin))" >>"$folder/done"
            rm "$out"
            echo "seed $seed: $n states, $(states) of $wanted"
        fi
        seed=$((seed + cores * 1000))
    done
}

rm -f "$folder/failed"
i=0
while [ "$i" -lt "$cores" ]; do
    worker "$i" &
    i=$((i + 1))
done
wait
echo "crash-long: $(states) states of $(wc -l <"$folder/done") seeds, listed in $folder/done"
[ ! -e "$folder/failed" ]
