// Where a pixel lies on the sky, and how numbers are written; the arithmetic of engine/data/sky/tangent.py, which sends the numbers.

const TERMS = [[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2], [3, 0], [2, 1], [1, 2], [0, 3]];
const DEGREE = Math.PI / 180;
const ARCSEC = 3600;

// Coordinates on the tangent plane, arcsec to the east and to the north of its middle, of a 0-based pixel.
function planeOf(sky, x, y) {
  const u = (x - sky.middle[0]) / sky.half, v = (y - sky.middle[1]) / sky.half;
  let east = 0, north = 0;
  TERMS.forEach(([i, j], k) => {
    const term = u ** i * v ** j;
    east += sky.east[k] * term;
    north += sky.north[k] * term;
  });
  return [east, north];
}

// RA and Dec of a 0-based pixel, degrees.
function skyOf(sky, x, y) {
  const [east, north] = planeOf(sky, x, y);
  const xi = east / ARCSEC * DEGREE, eta = north / ARCSEC * DEGREE, lat = sky.dec * DEGREE;
  const depth = Math.cos(lat) - eta * Math.sin(lat);
  const ra = sky.ra + Math.atan2(xi, depth) / DEGREE;
  const dec = Math.atan2(Math.sin(lat) + eta * Math.cos(lat), Math.hypot(xi, depth)) / DEGREE;
  return [((ra % 360) + 360) % 360, dec];
}

// Rounded before it is split, so that 59.999 never shows as 60.
function sexagesimal(ra, dec) {
  const pad = (value, width = 2) => String(value).padStart(width, "0");
  const milli = Math.round(ra / 15 * 3_600_000) % 86_400_000;
  const centi = Math.round(Math.abs(dec) * 360_000);
  const seconds = (left, unit) => `${pad(Math.floor(left / unit))}.${pad(left % unit, String(unit).length - 1)}`;
  return [
    `${pad(Math.floor(milli / 3_600_000))}ʰ${pad(Math.floor(milli / 60_000) % 60)}ᵐ${seconds(milli % 60_000, 1000)}ˢ`,
    `${dec < 0 ? "−" : "+"}${pad(Math.floor(centi / 360_000))}°${pad(Math.floor(centi / 6000) % 60)}′${seconds(centi % 6000, 100)}″`,
  ];
}

const minus = (text) => text.replace("-", "−");

// An angle with its unit, arcsec in.
function angle(arcsec) {
  const size = Math.abs(arcsec);
  if (size >= 600) return `${+(arcsec / 60).toPrecision(3)}′`;
  return size >= 10 ? `${arcsec.toFixed(1)}″` : `${arcsec.toFixed(2)}″`;
}

// A pixel's value to four digits.
function value(number) {
  if (!Number.isFinite(number)) return "–";
  if (Number.isInteger(number) && Math.abs(number) < 1e6) return minus(String(number));
  const size = Math.abs(number);
  return minus(size >= 1e5 || size < 1e-3 ? number.toExponential(2) : number.toPrecision(4));
}

// The largest of 1, 2, 5 × 10ⁿ that is no longer than this.
function round(length) {
  const power = 10 ** Math.floor(Math.log10(length));
  return [5, 2, 1].map((step) => step * power).find((step) => step <= length) ?? power;
}
