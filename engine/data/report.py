"""What an ingest found and did, for people and as the document that the survey keeps."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from engine.data.references import some

#: Objects without a row, and rows without an object, that a report names; it counts all.
LISTED = 1000


@dataclass(frozen=True)
class Report:
    """What an ingest found and did; the document ``ingest-report.json``.

    Attributes
    ----------
    source, kind : str
    objects : int
    files : int
        Files looked at.
    bands : list of str
    smallest, largest : [height, width]
        Pixels of the smallest and the largest cutout.
    positions : int
        Objects whose position is known.
    catalogue : str or None
    id_column : str or None
    matched, matched_by_position : int
        Objects with a catalogue row; those among them found by position rather than id.
    without_row : int
        Objects that the catalogue does not know.
    without_image : int
        Catalogue rows that belong to no object.
    repeated_rows : int
        Catalogue rows that repeat the id of an earlier one.
    differing : list of str
        Ids with several rows whose values differ; the first row was taken.
    shared_rows : int
        Objects that share their catalogue row with another one.
    without_row_ids, without_image_rows : list
        Which those are, the first `LISTED` of them: ids of objects; ids or numbers of catalogue rows.
    columns : list of {name, type, unit}
        Of the survey's table.
    rejected : list of {file, reason}
    notes : list of str
    following : str
        See `engine.data.references.Found`.
    """

    source: str
    kind: str
    objects: int
    files: int
    bands: list[str]
    smallest: list[int]
    largest: list[int]
    positions: int
    catalogue: str | None = None
    id_column: str | None = None
    matched: int = 0
    matched_by_position: int = 0
    without_row: int = 0
    without_image: int = 0
    repeated_rows: int = 0
    differing: list[str] = dataclasses.field(default_factory=list)
    shared_rows: int = 0
    without_row_ids: list[str] = dataclasses.field(default_factory=list)
    without_image_rows: list[str] = dataclasses.field(default_factory=list)
    columns: list[dict] = dataclasses.field(default_factory=list)
    rejected: list[dict] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    following: str = ""

    def document(self) -> dict:
        """The report as a JSON document."""
        return dataclasses.asdict(self)

    def lines(self) -> list[str]:
        """The report for people, a sentence a line."""
        small, large = ("×".join(map(str, s)) for s in (self.smallest, self.largest))
        size = f"{small} pixels" if small == large else f"{small} to {large} pixels"
        bands = f" in {len(self.bands)} band{'s' * (len(self.bands) != 1)} ({' '.join(self.bands)}), {size}"
        what = bands if self.bands else " without pixels"
        said = [f"{self.objects:,} objects{what}, {self.positions:,} with a position"]
        if self.catalogue is not None:
            how = f"by {self.id_column}" if self.id_column else "by position"
            if self.matched_by_position and self.id_column:
                how += f", {self.matched_by_position:,} of them by position"
            said.append(
                f"{self.catalogue}: {self.matched:,} matched {how}; "
                f"objects without a row: {self.without_row:,}, rows without an object: {self.without_image:,}"
            )
        if self.repeated_rows:
            said.append(f"{self.repeated_rows:,} catalogue rows repeat the id of an earlier one and were passed over")
        if self.differing:
            said.append(
                f"{len(self.differing):,} ids have several rows whose values differ (such as {some(self.differing)}): "
                "the first row was taken"
            )
        if self.shared_rows:
            said.append(f"{self.shared_rows:,} objects share their catalogue row with another object")
        if self.rejected:
            first = self.rejected[0]
            said.append(
                f"{len(self.rejected):,} left out because they cannot be read "
                f"(such as {first['file']}: {first['reason']})"
            )
        return said + self.notes


def sentence(line: str) -> str:
    """A line as a sentence; one that begins with a file's name keeps it as it is."""
    first = line.partition(" ")[0]
    return (line if "." in first or "/" in first else line[:1].upper() + line[1:]) + "."
