// Prints the tests of the suite in DIRECTORY, and what it publishes of other caches, as JSON: suite.mjs DIRECTORY.
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const directory = process.argv[2]
const suites = (await import(pathToFileURL(path.join(directory, 'tests/index.mjs')))).default
const tests = suites.flatMap(suite => suite.tests.map(test => ({
  suite: suite.name,
  id: test.id,
  name: test.name,
  kind: test.kind || 'required',
  browser_only: test.browser_only === true
})))
const results = path.join(directory, 'results')
const published = {}
for (const file of fs.readdirSync(results).filter(file => file.endsWith('.json')).sort()) {
  published[path.basename(file, '.json')] = JSON.parse(fs.readFileSync(path.join(results, file)))
}
console.log(JSON.stringify({ tests, published }))
