// The view: a table of products and its full-text index, and the handlers that keep both equal to the source.
import type { SqliteRow, SqliteTransaction, TableHandlers, WireRow } from "../../sdk/index.ts";

const COLUMNS = ["id", "name", "description", "brand", "category", "price", "stock", "updated_at"] as const;

/**
 * The index holds no copy of the texts (external content), so triggers keep it in step. They leave it alone when only
 * price or stock changes, the most frequent change in a shop. https://www.sqlite.org/fts5.html#external_content_tables
 */
export const SETUP = `
CREATE TABLE products (
  id INTEGER PRIMARY KEY,
  name TEXT, description TEXT, brand TEXT, category TEXT,
  price TEXT, stock INTEGER, updated_at TEXT
);
CREATE INDEX products_by_change ON products (updated_at DESC, id DESC);

CREATE VIRTUAL TABLE products_text USING fts5 (
  name, brand, category, description,
  content = 'products', content_rowid = 'id',
  tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3'
);
INSERT INTO products_text (products_text, rank) VALUES ('rank', 'bm25(10.0, 6.0, 4.0, 1.0)');

CREATE TRIGGER products_inserted AFTER INSERT ON products BEGIN
  INSERT INTO products_text (rowid, name, brand, category, description)
  VALUES (new.id, new.name, new.brand, new.category, new.description);
END;
CREATE TRIGGER products_deleted AFTER DELETE ON products BEGIN
  INSERT INTO products_text (products_text, rowid, name, brand, category, description)
  VALUES ('delete', old.id, old.name, old.brand, old.category, old.description);
END;
CREATE TRIGGER products_changed AFTER UPDATE ON products
WHEN old.id IS NOT new.id OR old.name IS NOT new.name OR old.brand IS NOT new.brand
  OR old.category IS NOT new.category OR old.description IS NOT new.description
BEGIN
  INSERT INTO products_text (products_text, rowid, name, brand, category, description)
  VALUES ('delete', old.id, old.name, old.brand, old.category, old.description);
  INSERT INTO products_text (rowid, name, brand, category, description)
  VALUES (new.id, new.name, new.brand, new.category, new.description);
END;`;

/** `onChange` is told the id of each product that changed, null when all are gone. */
export function productHandlers(onChange: (id: string | null) => void): TableHandlers<SqliteTransaction> {
  return {
    upsert(row, { tx }) {
      tx.upsert("products", pickColumns(row));
      onChange(String(row.id));
    },
    remove(key, { tx }) {
      tx.delete("products", key);
      onChange(String(key.id));
    },
    clear({ tx }) {
      tx.clear("products");
      onChange(null);
    },
    sweep(_event, { tx }) {
      tx.sweep("products");
      onChange(null);
    },
  };
}

/** The columns that the view keeps and the event has: an unchanged description is absent, and stays as it is. */
function pickColumns(row: WireRow): SqliteRow {
  return Object.fromEntries(COLUMNS.filter((column) => column in row).map((column) => [column, row[column]!]));
}
