/**
 * Addresses of TON (TEP-2). Raw: `<workchain>:<account in hex>`. User-friendly: base64 or base64url of 36 bytes: flags, workchain, account, CRC16.
 * The flags say how to send to the account (bounceable or not) and on which network it is shown (testnet only), not whose it is.
 */

const rawForm = /^(0|-1):([0-9a-fA-F]{64})$/;
const friendlyForm = /^[A-Za-z0-9+/_-]{48}$/;
const bounceable = 0x11;
const nonBounceable = 0x51;
const testnetOnly = 0x80;
const bytesOfAddress = 36;
const bytesChecked = 34;

/** As wallets show it: user-friendly, base64url, not bounceable, without the testnet flag. Undefined where it is no address. */
export function canonicalTon(text: string): string | undefined {
  const raw = rawForm.exec(text);
  if (raw !== null) return friendly(raw[1] === "0" ? 0 : 0xff, Buffer.from(raw[2] ?? "", "hex"));
  if (!friendlyForm.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64url");
  const tag = bytes.readUInt8(0) & ~testnetOnly;
  const workchain = bytes.readUInt8(1);
  if (tag !== bounceable && tag !== nonBounceable) return undefined;
  if (workchain !== 0 && workchain !== 0xff) return undefined;
  if (crc16(bytes.subarray(0, bytesChecked)) !== bytes.readUInt16BE(bytesChecked)) return undefined;
  return friendly(workchain, bytes.subarray(2, bytesChecked));
}

function friendly(workchain: number, account: Buffer): string {
  const bytes = Buffer.alloc(bytesOfAddress);
  bytes.writeUInt8(nonBounceable, 0);
  bytes.writeUInt8(workchain, 1);
  account.copy(bytes, 2);
  bytes.writeUInt16BE(crc16(bytes.subarray(0, bytesChecked)), bytesChecked);
  return bytes.toString("base64url");
}

/** CRC-16/XMODEM: polynomial 0x1021, beginning with 0. */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    crc &= 0xffff;
  }
  return crc;
}
