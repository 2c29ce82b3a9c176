/** Addresses against the vectors that the chains' own documents publish. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { canonicalWallet } from "../../src/bots/referral/wallet.ts";

/** EIP-55, section "Test cases". */
const evm = [
  "0x52908400098527886E0F7030069857D2E4169EE7",
  "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
  "0xde709f2102306220921060314715629080e2fb77",
  "0x27b1fdb04752bbc536007a920d24acb045561c26",
  "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
  "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
  "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
  "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
];

/** Spellings of one account each: raw, bounceable, not bounceable, on the test network. From TON's documentation and its library's tests. */
const ton = [
  [
    "0:83dfd552e63729b472fcbcc8c45ebcc6691702558b68ec7527e1ba403a0f31a8",
    "EQCD39VS5jcptHL8vMjEXrzGaRcCVYto7HUn4bpAOg8xqB2N",
  ],
  [
    "0:ca6e321c7cce9ecedf0a8ca2492ec8592494aa5fb5ce0387dff96ef6af982a3e",
    "EQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPrHF",
  ],
  [
    "0:2cf55953e92efbeadab7ba725c3f93a0b23f842cbba72d7b8e6f510a70e422e3",
    "0QAs9VlT6S776tq3unJcP5Ogsj-ELLunLXuOb1EKcOQi4-QO",
    "kQAs9VlT6S776tq3unJcP5Ogsj-ELLunLXuOb1EKcOQi47nL",
    "kQAs9VlT6S776tq3unJcP5Ogsj+ELLunLXuOb1EKcOQi47nL",
  ],
  [
    "-1:3333333333333333333333333333333333333333333333333333333333333333",
    "Ef8zMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM0vF",
  ],
] as const;

/** Programs and tokens of Solana itself, as its documentation names them. */
const solana = [
  "11111111111111111111111111111111",
  "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
  "So11111111111111111111111111111111111111112",
  "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
  "vines1vzrYbzLMRdu58ou5XTby4qAqVRLmqo36NKPTg",
];

for (const address of evm) {
  test(`${address} is an EVM address, in small letters and capitals too`, () => {
    const digits = address.slice(2);
    for (const spelling of [digits, digits.toLowerCase(), digits.toUpperCase()])
      expect(canonicalWallet(`0x${spelling}`)).toBe(address);
  });
}

test("an EVM address with one letter in the wrong case is none", () => {
  const address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
  for (let at = 2; at < address.length; at++) {
    const char = address.charAt(at);
    const other = char === char.toLowerCase() ? char.toUpperCase() : char.toLowerCase();
    if (other !== char) expect(canonicalWallet(address.slice(0, at) + other + address.slice(at + 1))).toBeUndefined();
  }
});

for (const spellings of ton) {
  test(`${spellings[0]} is one TON account in every spelling`, () => {
    const canonical = canonicalWallet(spellings[1]);
    expect(canonical).toMatch(/^U[Qf][A-Za-z0-9_-]{46}$/);
    for (const spelling of [...spellings, canonical ?? ""]) expect(canonicalWallet(spelling)).toBe(canonical);
    const [workchain = "", account = ""] = spellings[0].split(":");
    expect(canonicalWallet(`${workchain}:${account.toUpperCase()}`)).toBe(canonical);
  });
}

test("a TON address with one character changed is none", () => {
  const address = "EQCD39VS5jcptHL8vMjEXrzGaRcCVYto7HUn4bpAOg8xqB2N";
  for (let at = 0; at < address.length; at++) {
    const other = address.charAt(at) === "A" ? "B" : "A";
    expect(canonicalWallet(address.slice(0, at) + other + address.slice(at + 1))).toBeUndefined();
  }
});

test("a TON address with a good checksum, but of an unknown kind or workchain, is none", () => {
  for (const [tag, workchain, isKnown] of [
    [0x11, 0, true],
    [0xd1, 0xff, true],
    [0x12, 0, false],
    [0x11, 1, false],
    [0x91, 0x80, false],
  ] as const) {
    const bytes = Buffer.concat([Buffer.from([tag, workchain]), Buffer.alloc(32, 7)]);
    const crc = Buffer.alloc(2);
    crc.writeUInt16BE(crc16Of(bytes));
    const text = Buffer.concat([bytes, crc]).toString("base64url");
    expect([tag, workchain, canonicalWallet(text) !== undefined]).toEqual([tag, workchain, isKnown]);
  }
  expect(canonicalWallet(`1:${"a".repeat(64)}`)).toBeUndefined();
});

for (const address of solana) {
  test(`${address} is a Solana address, and not with a byte more`, () => {
    expect(canonicalWallet(address)).toBe(address);
    expect(canonicalWallet(`1${address}`)).toBeUndefined();
  });
}

test("44 characters of base58 that are more than 32 bytes are no Solana address", () => {
  expect(canonicalWallet("z".repeat(44))).toBeUndefined();
});

for (const [what, text] of [
  ["nothing", ""],
  ["an operator of MongoDB", '{"$gt":""}'],
  ["a prototype", "__proto__"],
  ["an EVM address without 0x", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"],
  ["an EVM address with a digit too many", "0x27b1fdb04752bbc536007a920d24acb045561c261"],
  ["an EVM address behind a line break", "\n0x27b1fdb04752bbc536007a920d24acb045561c26"],
  ["an EVM address before a null byte", "0x27b1fdb04752bbc536007a920d24acb045561c26\0"],
  ["an EVM address with a hidden space in it", "0x27b1fdb04752bbc536007\u200b920d24acb045561c26"],
  ["full-width digits", "０ｘ27b1fdb04752bbc536007a920d24acb045561c26"],
  ["two addresses", "11111111111111111111111111111111 11111111111111111111111111111111"],
  ["a megabyte", "1".repeat(1_000_000)],
  ["a lone surrogate", "\ud800".repeat(48)],
] as const) {
  test(`${what} is no address`, () => expect(canonicalWallet(text)).toBeUndefined());
}

test("whatever the text, the canonical spelling of an address is its own", () => {
  const spelled = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom(..."0x123abcdefABCDEF".split("")), minLength: 40, maxLength: 44 }),
    fc.string({ unit: fc.constantFrom(..."123456789ABCDEFGHJKLabcdefghijk".split("")), minLength: 32, maxLength: 48 }),
    fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => `0x${Buffer.from(bytes).toString("hex")}`),
    fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => `0:${Buffer.from(bytes).toString("hex")}`),
  );
  fc.assert(
    fc.property(spelled, (text) => {
      const canonical = canonicalWallet(text);
      if (canonical !== undefined) expect(canonicalWallet(canonical)).toBe(canonical);
    }),
    { numRuns: 2_000, seed: 1 },
  );
});

/** Bit by bit over the message, another way than the bot's. */
function crc16Of(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of [...bytes, 0, 0]) {
    for (let bit = 7; bit >= 0; bit--) {
      crc = (crc << 1) | ((byte >> bit) & 1);
      if (crc > 0xffff) crc = (crc & 0xffff) ^ 0x1021;
    }
  }
  return crc;
}
