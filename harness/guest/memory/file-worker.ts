import { parentPort, workerData } from 'node:worker_threads';
import { FileScan } from './file-scan.ts';

const scan = new FileScan(workerData);
try {
  while (scan.takeNext());
} finally {
  scan.close();
}
const packed = scan.scanner.pack();
const { counts, waiting } = packed.pages;
parentPort?.postMessage(
  packed,
  [packed.tiles, counts.words, counts.pages, waiting].map(({ buffer }) => buffer),
);
