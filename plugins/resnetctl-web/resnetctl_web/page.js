const part = (id) => document.getElementById(id);
const decoded = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
const card = JSON.parse(part("card").textContent);
const picture = part("picture"), pad = part("pad"), video = part("video");
const means = card.familiar ? card.familiar.means.map((mean) => Array.from(new Int8Array(decoded(mean).buffer))) : [];
let session, stream, latest = 0;

// Undo base64 and gzip.
async function unpacked(id) {
  const bytes = decoded(part(id).textContent.trim());
  part(id).remove();
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(plain).arrayBuffer();
}

async function start() {
  env.wasm.numThreads = 1; // several threads need a server that sends isolation headers
  env.wasm.proxy = false;
  env.logLevel = "error";
  env.wasm.wasmBinary = await unpacked("runtime");
  const behind = card.familiar ? decoded(card.familiar.behind) : new Uint8Array(); // makes the features an output
  const model = await new Blob([await unpacked("model"), behind]).arrayBuffer();
  session = await InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"] });
}
const ready = start();

function problem(text) {
  part("problem").textContent = text;
  part("problem").hidden = !text;
}

// Show a picture over white, as the package does with transparency, and return its pixels as RGB.
function pixelsOf(source, width, height) {
  picture.width = width;
  picture.height = height;
  const context = picture.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data, rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return rgb;
}

async function classify(source, width, height, name) {
  const turn = ++latest;
  if (width * height > card.most_pixels) {
    const limit = card.most_pixels.toLocaleString("en");
    throw new Error(`${width}x${height} pixels are over the limit of ${limit}`);
  }
  const pixels = pixelsOf(source, width, height);
  await ready;
  const results = await session.run({ image: new Tensor("uint8", pixels, [1, height, width, 3]) });
  const shares = Array.from(results.probabilities.data);
  if (turn !== latest) return; // a newer picture came meanwhile
  const distance = card.familiar ? distanceOf(results[card.familiar.output].data) : null;
  show(shares, name);
  part("strange").hidden = distance === null || distance <= card.familiar.limit;
  document.dispatchEvent(new CustomEvent("classified", { detail: { name, width, height, pixels, shares, distance } }));
}

// Return the distance of features to the nearest mean of a class, all of them with length 1.
function distanceOf(features) {
  const dot = (a, b) => a.reduce((sum, value, place) => sum + value * b[place], 0);
  const length = Math.max(Math.sqrt(dot(features, features)), 1e-12);
  const cosines = means.map((mean) => dot(features, mean) / length / Math.sqrt(dot(mean, mean)));
  return Math.sqrt(Math.max(0, 2 - 2 * Math.max(...cosines)));
}

// Class names are set as text: whatever they hold, they are never markup.
function show(shares, name) {
  const order = shares.map((_, place) => place).sort((a, b) => shares[b] - shares[a] || a - b).slice(0, card.top);
  const body = part("results").tBodies[0];
  body.replaceChildren(...order.map((place) => {
    const row = document.createElement("tr"), bar = document.createElement("progress");
    const label = document.createElement("span");
    label.textContent = label.title = card.classes[place];
    bar.value = shares[place];
    bar.setAttribute("aria-label", card.classes[place]);
    for (const content of [label, bar, `${(100 * shares[place]).toFixed(1)} %`]) {
      row.insertCell().append(content);
    }
    return row;
  }));
  part("results").hidden = false;
  part("status").textContent = name;
}

async function read(blob) {
  problem("");
  const name = blob.name || "picture";
  part("status").textContent = `Reading ${name}…`;
  let image;
  try {
    image = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  } catch {
    problem(`${name} is not a picture that this browser can read.`);
    part("status").textContent = "Ready.";
    return;
  }
  pad.hidden = !card.draw;
  picture.hidden = false;
  await guarded(classify(image, image.width, image.height, name), name);
  image.close();
}

async function guarded(work, name) {
  try {
    await work;
  } catch (error) {
    problem(`${name} cannot be classified: ${error.message}`);
    part("status").textContent = "Ready.";
  }
}

part("file").addEventListener("change", (event) => event.target.files[0] && read(event.target.files[0]));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault(); // else the browser would leave the page and open the file
    part("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files[0]) read(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((item) => item.type.startsWith("image/"));
  if (file) read(file);
});

// The first press starts the camera, the second takes the picture.
async function useCamera() {
  problem("");
  if (!stream) {
    stream = await navigator.mediaDevices.getUserMedia({ video: true });
    video.srcObject = stream;
    video.hidden = false;
    part("camera").textContent = "Take the picture";
    return;
  }
  picture.hidden = false;
  await guarded(classify(video, video.videoWidth, video.videoHeight, "camera"), "The picture");
  stream.getTracks().forEach((track) => track.stop());
  stream = undefined;
  video.hidden = true;
  part("camera").textContent = "Use the camera";
}
part("camera").hidden = !navigator.mediaDevices;
part("camera").addEventListener("click", () => useCamera().catch((error) => problem(`No camera: ${error.message}`)));

function clearPad() {
  const context = pad.getContext("2d");
  context.fillStyle = card.paper;
  context.fillRect(0, 0, pad.width, pad.height);
}

function drawing() {
  const context = pad.getContext("2d");
  context.lineWidth = card.pen;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = card.ink;
  const at = (event) => {
    const box = pad.getBoundingClientRect();
    return [(event.clientX - box.left) * pad.width / box.width, (event.clientY - box.top) * pad.height / box.height];
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    context.beginPath();
    context.moveTo(...at(event));
  });
  pad.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    context.lineTo(...at(event));
    context.stroke();
  });
  pad.addEventListener("pointerup", () => guarded(classify(pad, pad.width, pad.height, "drawing"), "The drawing"));
  part("clear").addEventListener("click", clearPad);
  clearPad();
}
if (card.draw) {
  pad.hidden = part("clear").hidden = false;
  drawing();
}

part("title").textContent = document.title = card.title;
part("about").textContent = card.about;
ready.then(
  () => { part("status").textContent = "Ready."; },
  (error) => problem(`The network cannot be started: ${error.message}`),
);
