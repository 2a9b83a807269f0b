import { parentPort, workerData } from 'node:worker_threads';
import { FileScan } from './file-scan.ts';

const scan = new FileScan(workerData);
try {
  while (scan.takeNext());
} finally {
  scan.close();
}
const packed = scan.scanner.pack();
parentPort?.postMessage(packed, [packed.tiles.buffer, packed.pages.words.buffer, packed.pages.pages.buffer]);
