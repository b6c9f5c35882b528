#!/bin/sh
# The nacre command; build/nacre must be on the PATH, or named by NACRE.
set -eu
nacre=${NACRE:-nacre}

$nacre create notes notes --kind collection --dimensions 3 --metric cosine --field title:text --field year:integer
cat > notes.jsonl <<'ROWS'
{"key":"shell","vector":[0.9,0.1,0.0],"title":"How a shell grows","year":2024}
{"key":"pearl","vector":[0.8,0.3,0.1],"title":"Pearls and their colours","year":2026}
{"key":"tides","vector":[0.1,0.2,0.9],"title":"A table of tides","year":2026}
ROWS
$nacre import notes notes notes.jsonl
$nacre search notes notes --vector '[1,0,0]' --k 2 --where '{"year":{"gte":2025}}'

$nacre create notes settings --kind kv
$nacre put notes settings theme '{"dark":true}'
$nacre get notes settings theme
$nacre scan notes notes --prefix t
$nacre verify notes --deep

# Prints:
# imported 3, refused 0
# {"key":"pearl","distance":0.07001889,"title":"Pearls and their colours","year":2026}
# {"key":"tides","distance":0.8921672,"title":"A table of tides","year":2026}
# {"dark":true}
# {"key":"tides","title":"A table of tides","year":2026}
# ok
