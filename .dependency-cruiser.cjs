const builtinsWithIo =
  '^(node:)?(fs|fs/promises|net|tls|http|https|http2|dns|dgram|child_process|worker_threads|cluster|os)$';
const test = '\\.(test|real\\.test|vectors\\.test)\\.ts$';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'at run time; a type may look back at its user',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'core-stands-alone',
      comment: 'core has no domain words and no I/O',
      severity: 'error',
      from: { path: '^core/', pathNot: test },
      to: { path: `^(attestation|harness|scenarios|reports|ci|bench)/|${builtinsWithIo}` },
    },
    {
      name: 'attestation-is-pure',
      comment: 'bytes in, verdict out: no network, files, processes or clock',
      severity: 'error',
      from: { path: '^attestation/', pathNot: test },
      to: { path: `^(harness|scenarios|reports|ci|bench)/|${builtinsWithIo}|^node_modules/(?!node-forge|@types)` },
    },
    {
      name: 'scenarios-through-one-door',
      comment: 'harness/test.ts is the only file a scenario imports',
      severity: 'error',
      from: { path: '^scenarios/', pathNot: test },
      to: { pathNot: '^harness/test\\.ts$' },
    },
    {
      name: 'renderers-know-only-the-model',
      severity: 'error',
      from: { path: '^reports/(html|junit|terminal|github|tap|diff)/', pathNot: test },
      to: {
        path: '^(attestation|harness|scenarios|ci|bench)/|^reports/(?!model/|errors\\.ts)',
        pathNot: '^reports/(html|junit|terminal|github|tap|diff)/',
      },
    },
    {
      name: 'renderers-do-not-know-each-other',
      severity: 'error',
      from: { path: '^reports/(html|junit|terminal|github|tap|diff)/', pathNot: test },
      to: { path: '^reports/(html|junit|terminal|github|tap|diff)/', pathNot: '^reports/$1/' },
    },
    {
      name: 'reports-know-no-harness',
      severity: 'error',
      from: { path: '^reports/', pathNot: test },
      to: { path: '^(attestation|harness|scenarios|ci|bench)/' },
    },
    {
      name: 'client-does-not-know-the-emulator',
      severity: 'error',
      from: { path: '^harness/libvirt/', pathNot: test },
      to: { path: '^(scenarios|reports|ci|bench)/|^harness/(?!libvirt/)' },
    },
    {
      name: 'emulator-shares-only-the-wire-format',
      comment: 'xdr and protocol, and nothing above them',
      severity: 'error',
      from: { path: '^harness/fakelibvirt/', pathNot: test },
      to: {
        path: '^(scenarios|reports|ci|bench)/|^harness/(?!fakelibvirt/)',
        pathNot: '^harness/libvirt/(xdr|protocol)/|^harness/libvirt/errors\\.ts$',
      },
    },
    {
      name: 'firmware-has-its-own-formulas',
      comment: 'if emulator and verifier shared a formula, a wrong byte order would pass every test',
      severity: 'error',
      from: { path: '^harness/fakelibvirt/firmware/', pathNot: test },
      to: { path: '^attestation/(measurement|session|secrets|verify)/' },
    },
    {
      name: 'product-does-not-import-tests',
      severity: 'error',
      from: { path: '^(core|attestation|harness|scenarios|reports)/', pathNot: `${test}|^harness/contract/` },
      to: { path: `${test}|^harness/contract/` },
    },
    {
      name: 'not-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types', 'default'] },
  },
};
