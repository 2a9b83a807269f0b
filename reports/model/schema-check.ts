import schema from './run.schema.json' with { type: 'json' };

/** The part of JSON Schema that `run.schema.json` uses, and no more: a keyword outside it is a mistake in that file. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
}

const root = schema as Schema;
const definitions = schema.$defs as Readonly<Record<string, Schema>>;
/** A run nests attempts, steps and errors; real ones stay far below. */
const MAX_DEPTH = 400;

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function hasType(type: string, value: unknown): boolean {
  switch (type) {
    case 'object':
      return isRecord(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    case 'number':
      return Number.isFinite(value);
    default:
      return typeof value === type;
  }
}

function checkObject(rule: Schema, value: Record<string, unknown>, at: string, depth: number): string | undefined {
  for (const key of rule.required ?? []) {
    if (!Object.hasOwn(value, key)) return `${at || 'the whole'} lacks '${key}'`;
  }
  for (const [key, item] of Object.entries(value)) {
    const known =
      rule.properties !== undefined && Object.hasOwn(rule.properties, key) ? rule.properties[key] : undefined;
    const own = known ?? (rule.additionalProperties === undefined ? {} : rule.additionalProperties);
    if (own === false) return `${at || 'the whole'} has '${key}', which is not part of it`;
    const violation = own === true ? undefined : check(own, item, at === '' ? key : `${at}.${key}`, depth + 1);
    if (violation !== undefined) return violation;
  }
  return undefined;
}

function checkAnyOf(rules: readonly Schema[], value: unknown, at: string, depth: number): string | undefined {
  const type = isRecord(value) ? value.type : undefined;
  const chosen = rules.find((rule) => rule.properties?.type?.const === type);
  if (chosen === undefined) return `${at || 'the whole'} has the unknown type ${shown(type)}`;
  return check(chosen, value, at, depth);
}

function check(rule: Schema, value: unknown, at: string, depth: number): string | undefined {
  const where = at || 'the whole';
  if (depth > MAX_DEPTH) return `${where} is nested deeper than ${MAX_DEPTH} levels`;
  if (rule.$ref !== undefined) return check(definition(rule.$ref.replace('#/$defs/', '')), value, at, depth);
  if (rule.anyOf !== undefined) return checkAnyOf(rule.anyOf, value, at, depth);
  if (rule.type !== undefined && !hasType(rule.type, value)) return `${where} is ${shown(value)}, not ${rule.type}`;
  if ('const' in rule && value !== rule.const) return `${where} is ${shown(value)}, not ${shown(rule.const)}`;
  if (rule.enum !== undefined && !rule.enum.includes(value)) {
    return `${where} is ${shown(value)}, not one of ${rule.enum.join(', ')}`;
  }
  if (typeof value === 'number') {
    if (rule.minimum !== undefined && value < rule.minimum) return `${where} is ${value}, below ${rule.minimum}`;
    if (rule.maximum !== undefined && value > rule.maximum) return `${where} is ${value}, above ${rule.maximum}`;
  }
  if (typeof value === 'string' && rule.pattern !== undefined && !new RegExp(rule.pattern, 'u').test(value)) {
    return `${where} is ${shown(value)}, which does not match ${rule.pattern}`;
  }
  if (Array.isArray(value) && rule.items !== undefined) {
    for (const [index, item] of value.entries()) {
      const violation = check(rule.items, item, `${at}[${index}]`, depth + 1);
      if (violation !== undefined) return violation;
    }
  }
  return isRecord(value) ? checkObject(rule, value, at, depth) : undefined;
}

function definition(name: string): Schema {
  return definitions[name] as Schema;
}

/** Where and how a value breaks `run.schema.json` (or its `event` part), in words; `undefined` when it does not. */
export function firstViolation(form: 'run' | 'event', value: unknown): string | undefined {
  return check(form === 'run' ? root : definition('event'), value, '', 0);
}
