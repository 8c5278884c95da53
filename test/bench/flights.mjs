// flights.mjs DIR: the flights of npm's vega-datasets, 3 million from January to
// June 2001, as CSV.  DIR is where npm has put it and hyparquet.
import { readFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const dir = process.argv[2];
const load = name => import(pathToFileURL(createRequire(dir + '/').resolve(name)));
const { parquetRead } = await load('hyparquet');
const { compressors } = await load('hyparquet-compressors');
const bytes = readFileSync(dir + '/node_modules/vega-datasets/data/flights-3m.parquet');
const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);

await parquetRead({ file, compressors, onComplete(rows) {
	for (let i = 0; i < rows.length; i += 10000)
		writeSync(1, rows.slice(i, i + 10000).map(([date, ...rest]) =>
			[date.toISOString(), ...rest].join(',') + '\n').join(''));
} });
