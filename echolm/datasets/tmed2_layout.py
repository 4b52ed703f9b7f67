"""Names in the tables and folders of TMED-2 (Huang et al. 2022, Tufts)."""

from __future__ import annotations

LABELED = "view_and_diagnosis_labeled_set/labeled"
"""The folder of most images."""
KEY, FOLDER, VIEW = "query_key", "SourceFolder", "view_label"
DIAGNOSIS, SPLIT = "diagnosis_label", "diagnosis_classifier_split"
VIEW_SPLIT = "view_classifier_split"
"""Of a network that tells views apart. It is not read."""
COLUMNS = (KEY, FOLDER, VIEW, DIAGNOSIS, SPLIT)
NOT_PROVIDED = "Not_Provided"
VIEWS = {
    "PLAX": "images_plax",
    "PSAX": "images_psax",
    "A4C": "images_a4c",
    "A2C": "images_a2c",
    "A4CorA2CorOther": "images_other",
    NOT_PROVIDED: "images_of_no_view",
}
"""Each view -> the value that counts a study's images of it."""
SEVERITIES = {
    "no_AS": "no_AS",
    "mild_AS": "early_AS",
    "mildtomod_AS": "early_AS",
    "moderate_AS": "significant_AS",
    "severe_AS": "significant_AS",
}
"""Each diagnosis -> the class of three that it belongs to (Huang et al. 2021)."""


def table_name(fold: int) -> str:
    """Return the name of a fold's table."""
    return f"TMED2_fold{fold}_labeledpart.csv"
