// Pictures that came with frames (app/frames.py), decoded, until the server says that they may be forgotten.

class Pictures {
  constructor() { this.entries = new Map(); } // row → {bitmap (undefined: being decoded; null: none), ready}

  keep({ header, pictures }) {
    for (const row of header.drop) this.forget(row);
    header.pictured.forEach((row, k) => {
      this.forget(row);
      const entry = { bitmap: pictures[k].length ? undefined : null, ready: null };
      if (entry.bitmap === undefined) {
        entry.ready = createImageBitmap(new Blob([pictures[k]], { type: "image/jpeg" }))
          .then((bitmap) => { entry.bitmap = bitmap; }, () => { entry.bitmap = null; });
      }
      this.entries.set(row, entry);
    });
  }

  forget(row) {
    this.entries.get(row)?.bitmap?.close();
    this.entries.delete(row);
  }

  has(rows) { return rows.every((row) => this.entries.has(row)); }

  bitmap(row) { return this.entries.get(row)?.bitmap; }

  // Resolves when all of these are decoded; null if they are already.
  decoded(rows) {
    const waiting = rows.map((row) => this.entries.get(row)).filter((entry) => entry && entry.bitmap === undefined);
    return waiting.length ? Promise.all(waiting.map((entry) => entry.ready)) : null;
  }

  // The same objects under another stretch: each keeps its picture until the new one is decoded, and all change in one go.
  async replace(rows, pictures, paint) {
    const shown = new Set(rows);
    for (const row of [...this.entries.keys()]) if (!shown.has(row)) this.forget(row); // drawn under the old one
    const entries = rows.map((row) => {
      const entry = { bitmap: this.bitmap(row) ?? null, ready: null };
      this.entries.set(row, entry);
      return entry;
    });
    const bitmaps = await Promise.all(pictures.map((picture) => (picture.length
      ? createImageBitmap(new Blob([picture], { type: "image/jpeg" })).catch(() => null) : null)));
    rows.forEach((row, k) => {
      if (this.entries.get(row) !== entries[k]) { bitmaps[k]?.close(); return; } // a newer one has come meanwhile
      if (entries[k].bitmap !== bitmaps[k]) entries[k].bitmap?.close();
      entries[k].bitmap = bitmaps[k];
      paint(row, bitmaps[k]);
    });
  }

  clear() { for (const row of [...this.entries.keys()]) this.forget(row); }
}
