import { XMLParser, XMLValidator } from 'fast-xml-parser';

/** An element as the parser keeps it when order matters. */
interface Node {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly Node[];
  readonly text: string;
}

type Raw = { readonly [key: string]: unknown };

function nodesOf(raw: readonly Raw[]): Node[] {
  return raw.flatMap((item) => {
    const name = Object.keys(item).find((key) => key !== ':@' && key !== '#text');
    if (name === undefined || name.startsWith('?')) return [];
    const inner = item[name] as readonly Raw[];
    return [
      {
        name,
        attributes: (item[':@'] ?? {}) as Record<string, string>,
        children: nodesOf(inner),
        text: inner.map((each) => String(each['#text'] ?? '')).join(''),
      },
    ];
  });
}

/** Parses XML with an independent parser; throws where the text is not well-formed. */
export function parseXml(xml: string): Node {
  const verdict = XMLValidator.validate(xml);
  if (verdict !== true) throw new Error(`not well-formed: ${verdict.err.msg} in line ${verdict.err.line}`);
  const parser = new XMLParser({
    preserveOrder: true,
    ignoreAttributes: false,
    attributeNamePrefix: '',
    parseTagValue: false,
    parseAttributeValue: false,
    trimValues: false,
    processEntities: { enabled: true, maxTotalExpansions: 1_000_000, maxExpandedLength: 100_000_000 },
    htmlEntities: true,
  });
  const [root] = nodesOf(parser.parse(xml) as Raw[]);
  if (root === undefined) throw new Error('no element');
  return root;
}

const SIMPLE: Readonly<Record<string, RegExp>> = {
  'xs:string': /^[\s\S]*$/,
  'xs:nonNegativeInteger': /^\d+$/,
  'xs:dateTime': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?$/,
};

const within = (node: Node, name: string) => node.children.filter((child) => child.name === name);

/** Holds a document against the part of XML Schema that `junit.xsd` uses. Returns what is wrong, in words. */
export function violations(schemaXml: string, xml: string): string[] {
  const schema = parseXml(schemaXml);
  const types = new Map(within(schema, 'xs:complexType').map((node) => [node.attributes.name, node]));
  const elements = new Map(within(schema, 'xs:element').map((node) => [node.attributes.name, node]));
  const patterns = new Map(
    within(schema, 'xs:simpleType').map((node) => {
      const pattern = node.children[0]?.children[0]?.attributes.value ?? '';
      return [node.attributes.name, new RegExp(`^(?:${pattern})$`)];
    }),
  );
  const found: string[] = [];

  const checkAttributes = (type: Node, node: Node) => {
    const known = new Map(within(type, 'xs:attribute').map((each) => [each.attributes.name ?? '', each]));
    for (const [name, rule] of known) {
      const value = node.attributes[name];
      if (value === undefined) {
        if (rule.attributes.use === 'required') found.push(`<${node.name}> lacks ${name}`);
        continue;
      }
      const kind = rule.attributes.type ?? '';
      const pattern = patterns.get(kind) ?? SIMPLE[kind];
      if (pattern === undefined) throw new Error(`the schema uses the unknown type ${kind}`);
      if (!pattern.test(value)) found.push(`<${node.name} ${name}="${value}"> is not ${kind}`);
    }
    for (const name of Object.keys(node.attributes)) {
      if (!known.has(name)) found.push(`<${node.name}> has the unknown attribute ${name}`);
    }
  };

  const checkChildren = (type: Node, node: Node) => {
    const sequence = within(type, 'xs:sequence')[0]?.children ?? [];
    let next = 0;
    for (const rule of sequence) {
      const name = rule.attributes.ref;
      const max =
        rule.attributes.maxOccurs === 'unbounded' ? Number.POSITIVE_INFINITY : Number(rule.attributes.maxOccurs ?? 1);
      let times = 0;
      while (node.children[next]?.name === name && times < max) {
        next += 1;
        times += 1;
      }
      if (times < Number(rule.attributes.minOccurs ?? 1)) found.push(`<${node.name}> lacks <${name}>`);
    }
    const stray = node.children[next];
    if (stray !== undefined) found.push(`<${node.name}> has <${stray.name}> where the schema has none`);
  };

  const check = (node: Node) => {
    const rule = elements.get(node.name);
    if (rule === undefined) {
      found.push(`<${node.name}> is unknown`);
      return;
    }
    if (rule.attributes.type === 'xs:string') {
      if (node.children.length > 0 || Object.keys(node.attributes).length > 0) found.push(`<${node.name}> is not text`);
      return;
    }
    const type = types.get(rule.attributes.type) ?? within(rule, 'xs:complexType')[0];
    if (type === undefined) throw new Error(`the schema has no type for ${node.name}`);
    checkAttributes(type, node);
    checkChildren(type, node);
    if (type.attributes.mixed !== 'true' && node.text.trim() !== '') found.push(`<${node.name}> has text`);
    for (const child of node.children) check(child);
  };
  const root = parseXml(xml);
  if (root.name !== 'testsuites') found.push(`the root is <${root.name}>`);
  check(root);
  return found;
}
