// Writes circomlibjs.json: `node tests/vectors/circomlibjs.mjs > tests/vectors/circomlibjs.json` after `npm ci`.
// With signatures on standard input (an array of {"x", "y", "m", "signature"}) and the argument "verify" it prints, for
// each, whether circomlibjs accepts it. circomlibjs is an independent implementation, used as an oracle only.
import { readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { buildEddsa, buildPoseidonReference } from "circomlibjs";

const eddsa = await buildEddsa();
const { babyJub, F } = eddsa;
const number = (element) => F.toObject(element).toString();
const R = 21888242871839275222246405745257275088548364400416034343698204186575808495617n;
const element = (label) => BigInt("0x" + createHash("sha512").update(label).digest("hex")) % R;

function sign(i) {
  const secret = createHash("sha256").update(`key ${i}`).digest();
  const [x, y] = eddsa.prv2pub(secret);
  const m = i === 0 ? 0n : i === 1 ? R - 1n : element(`message ${i}`);
  const signature = eddsa.signPoseidon(secret, F.e(m));
  return {
    x: number(x),
    y: number(y),
    m: m.toString(),
    r8: signature.R8.map(number),
    s: signature.S.toString(),
    signature: Buffer.from(eddsa.packSignature(signature)).toString("hex"),
  };
}

function verify(row) {
  const signature = eddsa.unpackSignature(Buffer.from(row.signature, "hex"));
  return eddsa.verifyPoseidon(F.e(BigInt(row.m)), signature, [F.e(BigInt(row.x)), F.e(BigInt(row.y))]);
}

if (process.argv[2] === "verify") {
  console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(verify)));
} else {
  const poseidon = await buildPoseidonReference();
  const hashes = [];
  for (let n = 1; n <= 16; n++) {
    for (const inputs of [
      Array(n).fill(0n),
      Array.from({ length: n }, (_, i) => R - 1n - BigInt(i)),
      Array.from({ length: n }, (_, i) => element(`input ${n} ${i}`)),
    ]) {
      hashes.push({ inputs: inputs.map(String), hash: number(poseidon(inputs.map((v) => F.e(v)))) });
    }
  }
  const points = [];
  for (let i = 0; i < 8; i++) {
    const scalar = element(`scalar ${i}`);
    const point = babyJub.mulPointEscalar(babyJub.Base8, scalar);
    const sum = babyJub.addPoint(point, babyJub.Base8);
    const packed = Buffer.from(babyJub.packPoint(point)).toString("hex");
    points.push({ scalar: scalar.toString(), point: point.map(number), plusBase: sum.map(number), packed });
  }
  const signatures = Array.from({ length: 12 }, (_, i) => sign(i));
  console.log(JSON.stringify({ source: "circomlibjs 0.1.7", hashes, points, signatures }, null, 1));
}
process.exit(0);
