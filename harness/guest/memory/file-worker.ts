import { parentPort, workerData } from 'node:worker_threads';
import { FileScan } from './file-scan.ts';

const scan = new FileScan(workerData);
try {
  while (scan.takeNext());
} finally {
  scan.close();
}
const packed = scan.scanner.pack();
const { tiles, pages } = packed;
const arrays = [tiles, pages.counts.words, pages.counts.pages, pages.waiting.words, pages.waiting.pages];
parentPort?.postMessage(
  packed,
  arrays.map(({ buffer }) => buffer),
);
