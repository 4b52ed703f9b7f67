# The first tour, as commands one can type: make demo. Run it again and only what is missing is done.
set -eu
say() { printf '\n$ %s\n' "$*"; "$@"; }
began=$(date +%s)
DIR=${ECHOLM_WORKSPACE:-echolm-workspace}
export ECHOLM_WORKSPACE="$DIR"

[ -e "$DIR/phantom/FileList.csv" ] || say echolm data phantom echonet-dynamic "$DIR/phantom" --videos 240 --seed 0
say echolm data prepare echonet-dynamic "$DIR/phantom"
say echolm launch demo --on local
say echolm tables demo
CINE=$(python -c 'from pydicom.data import get_testdata_file; print(get_testdata_file("examples_ybr_color.dcm", download=False))')
CELL=$(echolm grid show demo --where trainable=all --where head=mlp --where augmentation=none --where seed=0 --json |
    python -c 'import json, sys; print(json.load(sys.stdin)[0]["cell"])')
say echolm predict "$CELL" "$CINE" --ed 0 --es 12 --out "$DIR/contours.png"
printf '\n%s s in all. A real echo of another machine under a model trained on phantoms: look at %s\n' "$(($(date +%s) - began))" "$DIR/contours.png"
printf 'Every run in the browser: mlflow ui --backend-store-uri sqlite:///%s/mlflow/mlflow.db\n' "$DIR"
