"""The corpus as a table, whose parts are the other files ``bad_*_cases.py``.

A case says what is bad, how it is made of a good input, what is typed, and what must come of it.
Words in braces are the names of ``Place``. What every case promises beside this is in
``test_bad_input.py``.
"""

from __future__ import annotations

from bad_camus_cases import CAMUS_CASES
from bad_config_cases import CONFIGS
from bad_data_cases import DATA
from bad_echonet_cases import ECHONET
from bad_echonet_lvh_cases import ECHONET_LVH
from bad_echonet_pediatric_cases import ECHONET_PEDIATRIC
from bad_folder_cases import FOLDER
from bad_media_cases import MEDIA
from bad_mimic_cases import MIMIC
from bad_prepare_cases import PREPARATIONS
from bad_record_cases import RECORDS
from bad_store_cases import PREDICTIONS, STORES
from bad_task_cases import TASKS
from bad_tmed2_cases import TMED2
from bad_weights_cases import WEIGHTS

CASES = [*DATA, *PREPARATIONS, *MEDIA, *CONFIGS, *WEIGHTS, *RECORDS, *STORES, *PREDICTIONS]
CASES += [*ECHONET, *ECHONET_PEDIATRIC, *ECHONET_LVH, *CAMUS_CASES, *TMED2, *MIMIC, *FOLDER]
CASES += TASKS
