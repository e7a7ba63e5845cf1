// The commented configuration file that `init` writes. Texts are written as JSON, which YAML reads; no password is.

export interface Template {
  readonly stream: string;
  /** Without a password. */
  readonly url: string;
  /** Likewise. */
  readonly standbyUrl: string | null;
  readonly passwordFile: string | null;
  readonly slot: string;
  readonly publication: string;
  readonly tables: readonly string[];
  readonly snapshot: string;
  readonly brokers: readonly string[];
}

/** JSON leaves some characters as they are that YAML does not take. */
function quoted(value: string | readonly string[]): string {
  if (typeof value !== "string") return `[${value.map(quoted).join(", ")}]`;
  return JSON.stringify(value).replaceAll(/[\u007f-\u009f\u2028\u2029\ufeff]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

export function configTemplate(template: Template): string {
  const { stream, standbyUrl, passwordFile } = template;
  return `# The stream ${stream} of afterimage. Every setting can also come from the environment (AFTERIMAGE_POSTGRES_URL, …).
# Check it: afterimage doctor --config ${stream}.yaml      Start it: afterimage start --config ${stream}.yaml

# Prefix of the stream's topics. It stays as it is for as long as the stream lives.
stream: ${stream}

postgres:
  # The server's own address, not a pooler's. Over a network add ?sslmode=verify-full&sslrootcert=/path/ca.pem
  url: ${quoted(template.url)}${standbyUrl === null ? "" : `\n  standbyUrl: ${quoted(standbyUrl)}`}
  # The role's password: a file that nobody else may read, or the whole URL in AFTERIMAGE_POSTGRES_URL.
  ${passwordFile === null ? "# passwordFile: /run/secrets/postgres" : `passwordFile: ${quoted(passwordFile)}`}
  # ${standbyUrl === null ? "Both are" : "The publication is"} made by ${stream}.sql.
  slot: ${template.slot}
  publication: ${quoted(template.publication)}

# Which tables: "*" stands for any characters, "!" in front excludes. The publication has to hold them.
tables: ${quoted(template.tables)}

# initial: rows that a table holds when it is new to the stream are read as well; never: only changes from then on.
snapshot: ${template.snapshot}

kafka:
  brokers: ${quoted(template.brokers)}
  # Partitions of each table's topic. It can't be changed without rebuilding the stream.
  partitions: 4
  # -1: the broker's default. For events that matter: 3, with min.insync.replicas=2 on the brokers.
  replicationFactor: -1
  # ssl: true
  # sasl: { mechanism: scram-sha-512, username: afterimage, passwordFile: /run/secrets/kafka }

# Where status and stop are served. Without a password: leave it on this machine.
admin: { host: 127.0.0.1, port: 7788 }

# How long a start waits for servers that are not up yet.
startup: { wait: 60s }
`;
}
