// Where an axis' levels lie in a panel, and what is written beside them: as in the figures.
// A numeric axis is drawn true, by its logarithm or linearly, whichever spaces it more evenly;
// categories, and few or irregular numbers, become cells of equal size.

const FEW_LEVELS = 6,
  EVEN = 3,
  LOPSIDED = 25,
  WIDE = 100;

/**
 * @typedef {Object} Scale
 * @property {"log"|"linear"|"category"} kind
 * @property {number[]} edges n + 1 fractions of the panel's length, from 0 to 1
 * @property {number[]} centres n fractions
 * @property {function(number): number} place fraction of a number of the axis; NaN outside
 * @property {number[]} range the ends of the axis in what is drawn
 */

/** Largest over smallest gap. */
function unevenness(drawn) {
  let least = Infinity,
    most = 0;
  for (let i = 1; i < drawn.length; i++) {
    least = Math.min(least, drawn[i] - drawn[i - 1]);
    most = Math.max(most, drawn[i] - drawn[i - 1]);
  }
  return most / least;
}

/** @param {number[]|null} numbers @returns {"log"|"linear"|"category"} */
function scaleKind(numbers) {
  if (!numbers || numbers.length < 2) return "category";
  const positive = numbers[0] > 0;
  const wide = positive && numbers[numbers.length - 1] / numbers[0] >= WIDE;
  const byLog = positive ? unevenness(numbers.map(Math.log10)) : Infinity;
  const byNumber = unevenness(numbers);
  if (numbers.length <= FEW_LEVELS) return wide && byLog <= EVEN ? "log" : "category";
  if (wide || (positive && byLog < byNumber && byLog <= LOPSIDED)) return "log";
  return byNumber <= LOPSIDED ? "linear" : "category";
}

/**
 * Chooses how to draw the levels of an axis that are shown.
 * @param {Place} place
 * @returns {Scale}
 */
function makeScale(place) {
  const n = place.levels.length;
  const numbers =
    place.axis && place.axis.numbers ? place.levels.map((code) => place.axis.numbers[code]) : null;
  const kind = scaleKind(numbers);
  if (kind === "category") {
    const edges = Array.from({ length: n + 1 }, (_, i) => i / n);
    const centres = place.levels.map((_, i) => (i + 0.5) / n);
    const positive = numbers && numbers.length > 1 && numbers[0] > 0;
    return {
      kind,
      edges,
      centres,
      range: [-0.5, n - 0.5],
      place: positive ? between(numbers.map(Math.log), centres) : () => NaN,
    };
  }
  const drawn = kind === "log" ? numbers.map(Math.log10) : numbers;
  const middle = drawn.slice(1).map((value, i) => (value + drawn[i]) / 2);
  const low = 2 * drawn[0] - middle[0],
    high = 2 * drawn[n - 1] - middle[n - 2];
  const fraction = (value) => (value - low) / (high - low);
  const edges = [low, ...middle, high].map(fraction);
  const inside = (part) => (part >= 0 && part <= 1 ? part : NaN);
  return {
    kind,
    edges,
    centres: edges.slice(1).map((edge, i) => (edge + edges[i]) / 2),
    range: [low, high],
    place: (number) => inside(fraction(kind === "log" ? Math.log10(number) : number)),
  };
}

/** Fractions of numbers between the levels of cells of equal size, by their logarithm. */
function between(known, centres) {
  return (number) => {
    const value = Math.log(number);
    let i = 1;
    while (i < known.length - 1 && value > known[i]) i++;
    const part =
      centres[i - 1] + ((value - known[i - 1]) / (known[i] - known[i - 1])) * (centres[i] - centres[i - 1]);
    return part >= 0 && part <= 1 ? part : NaN;
  };
}

/**
 * @typedef {Object} Ticks
 * @property {{at: number, text: string}[]} major
 * @property {number[]} minor
 * @property {boolean} turned whether the texts stand at an angle
 */

/** Every so many levels as ticks. */
function levelTicks(place, scale, stride, turned = false) {
  const major = [];
  for (let i = 0; i < place.levels.length; i += stride) {
    major.push({ at: scale.centres[i], text: shortLabel(place.axis, place.levels[i]) });
  }
  return { major, minor: [], turned };
}

/** Decades of a log axis, or round numbers of a short or linear one. */
function trueTicks(scale, most) {
  const [low, high] = scale.range;
  const part = (drawn) => (drawn - low) / (high - low);
  if (scale.kind === "log") {
    const first = Math.ceil(low - 1e-9),
      last = Math.floor(high + 1e-9);
    const powers = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
    if (powers.length >= 3) {
      const stride = Math.ceil(powers.length / most);
      const minor = [];
      for (let power = first - 1; power <= last; power++) {
        for (let digit = 2; digit <= 10; digit++) {
          const at = part(power + Math.log10(digit));
          if (at >= 0 && at <= 1) minor.push(at);
        }
      }
      return {
        major: powers.filter((_, i) => i % stride === 0).map((p) => ({ at: part(p), text: powerOfTen(p) })),
        minor,
        turned: false,
      };
    }
    const round = [];
    for (let power = first - 1; power <= last; power++) {
      for (const digit of [1, 2, 5]) {
        const drawn = power + Math.log10(digit);
        if (drawn >= low && drawn <= high)
          round.push({ at: part(drawn), text: formatNumber(digit * 10 ** power) });
      }
    }
    if (round.length >= 2) {
      const stride = Math.ceil(round.length / most);
      return { major: round.filter((_, i) => i % stride === 0), minor: [], turned: false };
    }
    return {
      major: [scale.range[0], scale.range[1]].map((drawn) => ({
        at: part(drawn),
        text: formatNumber(10 ** drawn, 3),
      })),
      minor: [],
      turned: false,
    };
  }
  const rough = (high - low) / Math.max(2, Math.min(most, 7));
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * ([1, 2, 2.5, 5, 10].find((factor) => factor * unit >= rough) || 10);
  const major = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++)
    major.push({ at: part(k * step), text: formatNumber(k * step) });
  return { major, minor: [], turned: false };
}

/** The least height or width of a cell in pixels. */
function smallestCell(scale, length) {
  let least = Infinity;
  for (let i = 1; i < scale.edges.length; i++) least = Math.min(least, scale.edges[i] - scale.edges[i - 1]);
  return least * length;
}

/** @returns {boolean} whether every level of a log axis is a power of ten */
function onDecades(place, scale) {
  return (
    scale.kind === "log" &&
    place.levels.every((code) => {
      const power = Math.log10(place.axis.numbers[code]);
      return Math.abs(power - Math.round(power)) < 1e-9;
    })
  );
}

/** Ticks along a panel's width. @returns {Ticks} */
function horizontalTicks(place, scale, length, size) {
  if (!place.axis) return { major: [], minor: [], turned: false };
  const widest =
    Math.max(...place.levels.map((code) => textWidth(cut(shortLabel(place.axis, code), 24), size))) + 8;
  const spacing = smallestCell(scale, length);
  if (scale.kind === "category") {
    if (widest <= spacing) return levelTicks(place, scale, 1);
    const stride = Math.ceil(widest / spacing);
    if (place.axis.numbers && (widest < 60 || place.levels.length / stride >= 4))
      return levelTicks(place, scale, stride);
    return levelTicks(place, scale, Math.max(1, Math.ceil(16 / spacing)), true);
  }
  if (widest <= spacing && place.levels.length <= 12 && !onDecades(place, scale))
    return levelTicks(place, scale, 1);
  return trueTicks(scale, Math.max(2, Math.floor(length / 42)));
}

/** Ticks along a panel's height. @returns {Ticks} */
function verticalTicks(place, scale, length, size) {
  if (!place.axis) return { major: [], minor: [], turned: false };
  const line = size * 1.35;
  const spacing = smallestCell(scale, length);
  if (scale.kind === "category") return levelTicks(place, scale, Math.max(1, Math.ceil(line / spacing)));
  if (line <= spacing && place.levels.length <= 12 && !onDecades(place, scale))
    return levelTicks(place, scale, 1);
  return trueTicks(scale, Math.max(2, Math.floor(length / (2 * line))));
}
