// The statements of a file as psql finds them: a semicolon ends one, outside of strings, quoted names and comments.

export function splitSql(text: string): string[] {
  const statements: string[] = [];
  let statement = "";
  for (const [piece] of text.matchAll(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|;|[^'";-]+|-/g)) {
    if (piece.startsWith("--")) continue;
    if (piece !== ";") {
      statement += piece;
      continue;
    }
    statements.push(statement.trim());
    statement = "";
  }
  if (statement.trim() !== "") throw new Error(`The last statement has no end: ${statement}`);
  return statements;
}
