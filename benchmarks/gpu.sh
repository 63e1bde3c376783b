#!/usr/bin/env bash
# Ten minutes of a GPU: what they should be spent on, prepared, so that a cut-off loses nothing.
#
#   bash benchmarks/gpu.sh               on a machine with one NVIDIA GPU, from the repository's root or anywhere
#   bash benchmarks/gpu.sh --dry-run     what would be run, in this order, each with its budget in seconds
#   bash benchmarks/gpu.sh --cpu         everything in little on a processor, in minutes: to see that it runs
#
# Each part has its own budget and leaves its own files in $OUT (a new folder runs/gpu-DATE unless set): NAME.txt is
# what it printed, NAME.json its result. summary.md and summary.json are written anew after every part. A part that
# fails or runs out of time is recorded with its exit status and the end of what it printed, and the next one begins.
#
# Options:
#   --limit SECONDS   for everything together; 530 unless set
#   --only NAMES      these parts alone, separated by commas
#   --also-older      at last the profile, tests and steps again with older torch and transformers, if the package
#                     index answers and the time is enough for installing them
#   --wheels FOLDER   packages that are missing come from there; without it, from the package index if it answers
#   --pack            leave few files in $OUT: the summaries, profile.md, and everything else in parts.tar
#
# PYTHON names the Python to use: else .venv/bin/python where it has torch, else python3.

set -u

cd "$(dirname "$0")/.." || exit 1

LIMIT=530 DRY='' CPU='' OLDER='' WHEELS='' PACK='' ONLY=''
OLDER_TORCH=2.11.0 OLDER_TRANSFORMERS=5.17.0 OLDER_PEFT=0.21.0

usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }
refuse() { echo "gpu.sh: $1; bash benchmarks/gpu.sh --help lists the options" >&2; exit 2; }

while [ $# -gt 0 ]; do
  case "$1" in
    --limit | --only | --wheels)
      [ $# -ge 2 ] || refuse "$1 has no value behind it"
      case "$1" in --limit) LIMIT=$2 ;; --only) ONLY=$2 ;; *) WHEELS=$2 ;; esac
      shift ;;
    --dry-run) DRY=1 ;;
    --cpu) CPU=1 ;;
    --also-older) OLDER=1 ;;
    --pack) PACK=1 ;;
    -h | --help) usage; exit 0 ;;
    *) refuse "$1 is not an option" ;;
  esac
  shift
done
case "$LIMIT" in '' | *[!0-9]*) refuse "--limit was '$LIMIT', expected whole seconds" ;; esac
if [ -n "$WHEELS" ]; then
  [ -d "$WHEELS" ] || refuse "--wheels was '$WHEELS', which is no folder"
  WHEELS=$(cd "$WHEELS" && pwd)
fi

# -- what is run -----------------------------------------------------------------------------------------------------

if [ -n "$CPU" ]; then
  MODEL=tiny DEVICE=cpu DTYPE=float32 FEW='--steps 2' OWN=3
else
  MODEL=llama-1b-bytes DEVICE=cuda DTYPE=bfloat16 FEW='--steps 10' OWN=20
fi
PLACE="--backbone $MODEL --device $DEVICE --dtype $DTYPE"
STEP="benchmarks/training_step.py $PLACE --rows random $FEW"
PROFILE="benchmarks/profile_step.py --model $MODEL --device $DEVICE --dtype $DTYPE $FEW"
MANY="benchmarks/many_prompts.py $PLACE --seq 64 $FEW"
# Every test file that asks for the device; -m as here also takes what is marked `gpu`.
TESTS="-m pytest -q -p no:cacheprovider -m (gpu_or_not_slow) @device-tests"

# name, budget, least time worth beginning with, arguments of Python; the most important first
plan() {
  cat <<END
environment 60 5 @environment
profile 110 30 $PROFILE --out @out
device-tests 150 30 $TESTS --junitxml=@out/device-tests.xml
step-same-batches 90 30 $STEP --only prefix bare20
step-own-batches 90 30 $STEP --only own --own-batches $OWN
many-prompts 80 25 $MANY
many-prompts-alone 80 25 $MANY --alone
step-soft-tokens 80 30 $STEP --only tokens p_tuning
END
  [ -z "$OLDER" ] || cat <<END
older-install 170 240 @older-install
older-profile 90 40 older: $PROFILE --out @out/older
older-device-tests 100 40 older: $TESTS --junitxml=@out/older-device-tests.xml
older-step-same-batches 60 30 older: $STEP --only prefix bare20
older-step-own-batches 60 30 older: $STEP --only own --own-batches $OWN
older-many-prompts 60 25 older: $MANY
END
}

if [ -n "$ONLY" ]; then
  for name in ${ONLY//,/ }; do
    plan | grep -q "^$name " || refuse "--only names '$name', which is no part"
  done
fi

if [ -n "$DRY" ]; then
  echo "at most $LIMIT s; a part begins only while its least time is left"
  printf '%-25s %7s %6s  %s\n' part budget least command
  plan | while read -r name budget least command; do
    printf '%-25s %5s s %4s s  %s\n' "$name" "$budget" "$least" "$command"
  done
  exit 0
fi

# -- where -----------------------------------------------------------------------------------------------------------

OUT=${OUT:-runs/gpu-$(date +%Y%m%d-%H%M%S)}
mkdir -p "$OUT" || exit 1
OUT=$(cd "$OUT" && pwd)
WORK=$(mktemp -d) || exit 1
trap 'rm -rf "$WORK"' EXIT
KEEP=$OUT
[ -z "$PACK" ] || { KEEP=$WORK/parts; mkdir -p "$KEEP"; }
RECORD=$KEEP/parts.tsv
: >"$RECORD"

export PYTHONPATH="$PWD/src:$PWD/tests${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_RETRIES=1 PIP_DEFAULT_TIMEOUT=10 PIP_NO_INPUT=1
[ -z "$CPU" ] || export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  if [ -x .venv/bin/python ] && .venv/bin/python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)'; then
    PYTHON=$PWD/.venv/bin/python
  fi
fi
command -v "$PYTHON" >/dev/null || { echo "gpu.sh: $PYTHON is not there; name a Python 3.11 or newer in PYTHON" >&2; exit 1; }
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "gpu.sh: $PYTHON is older than Python 3.11; name a newer one in PYTHON" >&2; exit 1; }
CLOCK=$(command -v timeout || command -v gtimeout || true)
[ -n "$CLOCK" ] || echo "gpu.sh: no 'timeout' here, so a part may overrun its budget" >&2

left() { echo $((LIMIT - SECONDS)); }
limited() { # seconds, command
  local seconds=$1
  shift
  if [ -n "$CLOCK" ]; then "$CLOCK" -k 5 "$seconds" "$@"; else "$@"; fi
}

summarize() {
  "$PYTHON" benchmarks/gpu_summary.py "$KEEP" "$OUT" || echo "gpu.sh: the summary could not be written" >&2
  if [ -n "$PACK" ]; then
    cp "$KEEP/profile.md" "$OUT/profile.md" 2>/dev/null
    tar -cf "$WORK/parts.tar" -C "$KEEP" . && mv "$WORK/parts.tar" "$OUT/parts.tar"
  fi
}

# -- what is missing -------------------------------------------------------------------------------------------------

MISSING_QUERY='
import importlib.util as u
names = {"torch": "torch", "transformers": "transformers", "tokenizers": "tokenizers", "safetensors": "safetensors",
         "accelerate": "accelerate", "numpy": "numpy", "jaxtyping": "jaxtyping", "pydantic": "pydantic",
         "yaml": "pyyaml", "scipy": "scipy", "filelock": "filelock", "peft": "peft", "pytest": "pytest",
         "beartype": "beartype"}
print(*(package for module, package in names.items() if u.find_spec(module) is None))'

reached() { # whether a package index answers, asked once
  [ -n "${REACHED:-}" ] || {
    REACHED=no
    mkdir -p "$WORK/probe"
    limited 20 "$PYTHON" -m pip download -q --no-deps -d "$WORK/probe" typing-extensions >/dev/null 2>&1 && REACHED=yes
  }
  [ "$REACHED" = yes ]
}

prepare() { # installs what is missing beside the Python that is there; without torch, everything into a new one
  MISSING=$("$PYTHON" -c "$MISSING_QUERY") || return 1
  [ -n "$MISSING" ] || return 0
  echo "missing here: $MISSING"
  local site=$WORK/site seconds
  seconds=$(($(left) / 2))
  if [ -n "$WHEELS" ]; then
    limited "$seconds" "$PYTHON" -m pip install -q --no-index --no-deps --target "$site" "$WHEELS"/*.whl || return 1
  elif ! reached; then
    echo "no package index answers; bring the wheels along: --wheels FOLDER"
    return 1
  elif case " $MISSING " in *' torch '*) true ;; *) false ;; esac; then
    "$PYTHON" -m venv "$WORK/venv" || return 1
    PYTHON=$WORK/venv/bin/python
    limited "$seconds" "$PYTHON" -m pip install -q -c constraints.txt -e ".[all]" peft pytest beartype
    return
  else
    # Without dependencies, so that the torch that is there stays; pydantic's own are named.
    local names=$MISSING
    case " $names " in *' pydantic '*) names="$names pydantic-core annotated-types typing-inspection typing-extensions" ;; esac
    case " $names " in *' jaxtyping '*) names="$names wadler-lindig" ;; esac
    case " $names " in *' pytest '*) names="$names iniconfig pluggy packaging pygments" ;; esac
    # shellcheck disable=SC2086
    limited "$seconds" "$PYTHON" -m pip install -q --no-deps -c constraints.txt --target "$site" $names || return 1
  fi
  export PYTHONPATH="$PYTHONPATH:$site"
}

older_install() {
  if "$PYTHON" -c "import sys, torch, transformers as t; sys.exit((torch.__version__.split('+')[0], t.__version__) != ('$OLDER_TORCH', '$OLDER_TRANSFORMERS'))"; then
    echo "torch $OLDER_TORCH and transformers $OLDER_TRANSFORMERS are what is there: nothing older to measure"
    return 1
  fi
  reached || { echo "no package index answers"; return 1; }
  "$PYTHON" -m venv "$WORK/older" || return 1
  "$WORK/older/bin/python" -m pip install -q "torch==$OLDER_TORCH" "transformers==$OLDER_TRANSFORMERS" \
    "peft==$OLDER_PEFT" accelerate jaxtyping pydantic pyyaml scipy filelock pytest beartype numpy safetensors || return 1
  touch "$WORK/older-ready"
}

# -- one part --------------------------------------------------------------------------------------------------------

part() { # name, budget, least, arguments of Python
  local name=$1 budget=$2 least=$3 rc=0 start=$SECONDS state log python=$PYTHON paths
  shift 3
  log=$KEEP/$name.txt
  [ -z "$ONLY" ] || case ",$ONLY," in *",$name,"*) ;; *) return ;; esac
  local rest=$(($(left) - 8))
  [ -z "$CPU$ONLY" ] || [ "$name" = older-install ] || least=5
  if [ "$rest" -lt "$least" ]; then
    note "$name" skipped "" 0 "$budget" "$rest s were left, at least $least are needed"
    return
  fi
  [ "$budget" -le "$rest" ] || budget=$rest
  if [ "$1" = older: ]; then
    shift
    python=$WORK/older/bin/python
    [ -e "$WORK/older-ready" ] || { note "$name" skipped "" 0 "$budget" "the older versions are not installed"; return; }
  fi
  echo "== $name (at most $budget s, $(left) s left)"
  case "$1" in
    @environment) limited "$budget" "$python" benchmarks/gpu_summary.py --environment "$DEVICE" >"$log" 2>&1; rc=$? ;;
    @older-install)
      export -f older_install reached limited
      export PYTHON WORK CLOCK OLDER_TORCH OLDER_TRANSFORMERS OLDER_PEFT
      limited "$budget" bash -c older_install >"$log" 2>&1; rc=$? ;;
    *)
      local words=() word
      for word in "$@"; do
        case "$word" in
          @device-tests)
            paths=$(grep -rlE 'mark\.gpu|cuda\.is_available|backends\.cuda' tests --include='test_*.py' | sort)
            # shellcheck disable=SC2206
            words+=($paths) ;;
          '(gpu_or_not_slow)') words+=('gpu or not slow') ;;
          *) words+=("${word//@out/$KEEP}") ;;
        esac
      done
      limited "$budget" "$python" "${words[@]}" >"$log" 2>&1; rc=$? ;;
  esac
  case "$rc" in 0) state=done ;; 124 | 137) state="out of time" ;; *) state=failed ;; esac
  # A benchmark's last line is its result; warnings may follow it.
  grep '^{' "$log" | tail -n 1 | "$PYTHON" -c '
import json, sys
try:
    found = json.loads(sys.stdin.read())
except ValueError:
    sys.exit()
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump(found, file, indent=1)' "$KEEP/$name.json"
  note "$name" "$state" "$rc" $((SECONDS - start)) "$budget" ""
}

note() { # name, state, exit status, seconds, budget, why
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$@" >>"$RECORD"
  echo "   $1: $2${6:+ ($6)}"
  summarize
}

echo "results: $OUT"
prepare >"$KEEP/prepare.txt" 2>&1 || echo "gpu.sh: not everything that is needed is here: $(tail -n 3 "$KEEP/prepare.txt")" >&2
export PYTHON

while read -r name budget least command; do
  # shellcheck disable=SC2086
  set -f
  part "$name" "$budget" "$least" $command </dev/null
  set +f
done < <(plan)

summarize
cat "$OUT/summary.md"
