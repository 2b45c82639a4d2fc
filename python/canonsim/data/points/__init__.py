"""Point clouds as (n, 3) or (n, 4) arrays from the files of lidar drivers and scanners, one format in a module.

Files come from anywhere, so nothing is allocated and nothing is looped over before the size of the file backs what its
header declares. Open3D reads most of these formats too, but ends the process on hostile ones (a compressed PCD with
more points than bytes, a PLY property with a long name): its files are read here without it.
"""

from canonsim.data.points.cloud import Points
from canonsim.data.points.reader import SUFFIXES, read_points
from canonsim.data.points.rows import check_columns

__all__ = ["SUFFIXES", "Points", "check_columns", "read_points"]
