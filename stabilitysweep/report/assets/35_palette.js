// Colours and glyphs: those of the figures. Colour never carries a meaning alone.

const CIVIDIS = [
  "#00224e",
  "#002e6a",
  "#1a386f",
  "#32436d",
  "#434e6c",
  "#535a6d",
  "#61656f",
  "#6f7073",
  "#7d7c78",
  "#8c8878",
  "#9b9476",
  "#aba072",
  "#bcae6c",
  "#cdbb63",
  "#dec958",
  "#f0d846",
  "#fee838",
];
const INFERNO = [
  "#10092d",
  "#210c4a",
  "#340a5f",
  "#490b6a",
  "#5a116e",
  "#6d186e",
  "#7f1e6c",
  "#922568",
  "#a52c60",
  "#b63458",
  "#c73e4c",
  "#d54a41",
  "#e35933",
  "#ed6925",
  "#f57d15",
  "#fa9008",
  "#fca50a",
];
const BLUE_RED = [
  "#0a3b70",
  "#1b5a9c",
  "#2f79b5",
  "#4393c3",
  "#75b2d4",
  "#a0cce2",
  "#c7e0ed",
  "#e1edf3",
  "#f7f6f6",
  "#f9ebe3",
  "#fce0d0",
  "#fbd0b9",
  "#f7b99c",
  "#f3a481",
  "#e8896c",
  "#db6b55",
  "#cf5246",
];
const LIGHT_IS_LOW = [...CIVIDIS].reverse();

/** Okabe and Ito's colours, each with the glyph of its cause and whether that is drawn light. */
const CAUSE_STYLES = {
  input_not_finite: ["#303030", "square", true],
  learning_rate_too_high: ["#d55e00", "x", true],
  float16_overflow: ["#0072b2", "triangle-up", true],
  float16_underflow: ["#56b4e9", "triangle-down", false],
  loss_function_singular: ["#cc79a7", "diamond", false],
  activation_unbounded: ["#e69f00", "plus", false],
  loss_scale_exhausted: ["#009e73", "dash", true],
  prediction_only: ["#f0e442", "circle", false],
  unknown: ["#9a9a9a", "bar", false],
};

/** Glyphs of the outcomes, in their order; stable has none. */
const OUTCOME_GLYPHS = [null, "dash", "triangle-up", "x", "question"];

/** Plotly's symbol of a glyph: its name, whether it is made of lines, its size beside the others. */
const SYMBOLS = {
  x: ["x-thin-open", true, 1],
  "triangle-up": ["triangle-up", false, 1.1],
  dash: ["line-ew-open", true, 0.75],
  plus: ["cross-thin-open", true, 1.1],
  bar: ["line-ns-open", true, 1],
  square: ["square", false, 0.85],
  "triangle-down": ["triangle-down", false, 1.1],
  diamond: ["diamond", false, 0.95],
  circle: ["circle", false, 0.85],
  question: ["?", false, 1.3],
};

/** Lines of a plot, darkest first, as in the figures; on dark paper the dark ones are lighter. */
const LINES = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b37a00", "#56b4e9", "#1a1a1a", "#857c00"],
  dark: ["#56b4e9", "#f08a4b", "#2fc799", "#e29ac3", "#e69f00", "#8fd0f5", "#e8e8e8", "#d8ce4a"],
};
const DASHES = ["solid", "dash", "dot", "dashdot"];

const THEMES = {
  light: {
    paper: "#ffffff",
    ink: "#1a1a1a",
    soft: "#555555",
    frame: "#666666",
    grid: "#e6e6e6",
    gap: "#ffffff",
    neutral: "#f1f1f1",
    crashed: "#c9c9c9",
    failed: "#555555",
    hatch: "#a3a3a3",
    unmeasured: "#ededed",
    line: "#1a1a1a",
    casing: "#ffffff",
    bracket: "#8f8f8f",
  },
  dark: {
    paper: "#16181c",
    ink: "#e7e7e5",
    soft: "#a8abb0",
    frame: "#8a8d93",
    grid: "#33363c",
    gap: "#16181c",
    neutral: "#3a3e45",
    crashed: "#8b8e94",
    failed: "#55585e",
    hatch: "#565a61",
    unmeasured: "#22252a",
    line: "#ffffff",
    casing: "#101010",
    bracket: "#9a9a9a",
  },
};

/** @returns {"light"|"dark"} the theme in force */
function themeName() {
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

/** @returns {Object<string, string>} the colours of the theme in force */
function theme() {
  return THEMES[themeName()];
}

/** Relative luminance of a colour `#rrggbb`, 0 to 1. */
function luminance(colour) {
  const part = (at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
}

/** The colour of a ramp at a fraction, from the nearest of its stops. */
function rampColour(ramp, fraction) {
  return ramp[Math.round(Math.min(1, Math.max(0, fraction)) * (ramp.length - 1))];
}

/** @param {string} cause @returns {[string, string, boolean]} colour, glyph, whether it is light */
function causeStyle(cause) {
  return CAUSE_STYLES[cause] || CAUSE_STYLES.unknown;
}
