// What things are called on the page on representations, and how numbers are written there.

const KINDS = [["train", "Train"], ["finetune", "Fine-tune"], ["embed", "Embed"]];
const VERBS = { train: "Start training", finetune: "Start fine-tuning", embed: "Make representation" };
const INTRO = {
  train: "A new encoder, learned from this survey’s own cutouts.",
  finetune: "An encoder tuned to your labels: gives a representation and a classifier.",
  embed: "Vectors of every object by an encoder: what maps, search and the learner see.",
};
const STATES = {
  running: "running", waiting: "waiting", stopping: "stopping", failed: "failed", interrupted: "interrupted",
  finished: "finished", elsewhere: "running", preparing: "preparing",
};
const PANELS = { simmim: ["original", "masked", "reconstruction"], mae: ["original", "masked", "reconstruction"], vae: ["original", "reconstruction"] };
const QUALITY = { probe: "linear probe", two_point: "2-point score", two_point_error: "2-point error", two_point_landy_szalay: "2-point, Landy-Szalay", rankme: "RankMe",
  neighbours: "neighbours’ class", clusters: "clusters’ class", davies_bouldin: "Davies-Bouldin" };
const MEANING = {
  two_point: "Clustering beyond a Gaussian cloud: the 2-point correlation of the vectors",
  probe: "Mean area under the ROC curve of linear classifiers on the catalogue’s questions",
  neighbours: "Share of objects whose neighbours say their class",
  davies_bouldin: "How far the classes run into one another; smaller is better",
  rankme: "Directions in use",
};
const BETTER = { two_point: 1, probe: 1, neighbours: 1, davies_bouldin: -1 };
const METHODS = { simmim: "SimMIM", mae: "MAE", byol: "BYOL", dino: "DINO", vae: "Autoencoder (VAE)", votes: "Votes and classes", finetune: "fine-tuned" };

const number = (value, digits = 3) => {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(1).replace("-", "−").replace("e+", "e");
  return value.toLocaleString("en-US", { maximumSignificantDigits: digits }).replace("-", "−");
};
const whole = (value) => Math.round(value).toLocaleString("en-US");
const duration = (seconds) => {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
};
const bytes = (value) => value < 1e6 ? `${Math.ceil(value / 1e3)} kB` : value < 1e9 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e9).toFixed(1)} GB`;
const url = (picture) => picture.length ? URL.createObjectURL(new Blob([picture])) : "";
