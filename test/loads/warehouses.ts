// Orders of warehouses, after the shape of the TPC-C benchmark: nine tables, five kinds of transactions at once.
import pg from "pg";
import { type Random, seeded } from "../torture/random.ts";

const DISTRICTS = 4;
const CUSTOMERS = 30;
const ITEMS = 100;

const SCHEMA = `
  CREATE SCHEMA w;
  CREATE TABLE w.warehouse (w_id smallint PRIMARY KEY, name varchar(10), state char(2), tax numeric(4,4), ytd numeric(12,2));
  CREATE TABLE w.district (w_id smallint REFERENCES w.warehouse, d_id smallint, name varchar(10), tax numeric(4,4), ytd numeric(12,2), next_order int, PRIMARY KEY (w_id, d_id));
  CREATE TABLE w.customer (w_id smallint, d_id smallint, c_id int, last varchar(16), credit char(2), balance numeric(12,2), payments smallint, data text,
    PRIMARY KEY (w_id, d_id, c_id), FOREIGN KEY (w_id, d_id) REFERENCES w.district);
  CREATE TABLE w.history (w_id smallint, d_id smallint, c_id int, at timestamp, amount numeric(6,2), data varchar(24));
  ALTER TABLE w.history REPLICA IDENTITY FULL;
  CREATE TABLE w.item (i_id int PRIMARY KEY, name varchar(24), price numeric(5,2), data varchar(50));
  CREATE TABLE w.stock (w_id smallint, i_id int REFERENCES w.item, quantity smallint, dist char(24), ytd int, orders int, PRIMARY KEY (w_id, i_id));
  CREATE TABLE w.orders (w_id smallint, d_id smallint, o_id int, c_id int, at timestamp, carrier smallint, lines smallint, PRIMARY KEY (w_id, d_id, o_id),
    FOREIGN KEY (w_id, d_id, c_id) REFERENCES w.customer);
  CREATE TABLE w.new_order (w_id smallint, d_id smallint, o_id int, PRIMARY KEY (w_id, d_id, o_id), FOREIGN KEY (w_id, d_id, o_id) REFERENCES w.orders);
  CREATE TABLE w.order_line (w_id smallint, d_id smallint, o_id int, line smallint, i_id int, delivered timestamp, quantity smallint, amount numeric(6,2), info char(24),
    PRIMARY KEY (w_id, d_id, o_id, line), FOREIGN KEY (w_id, d_id, o_id) REFERENCES w.orders);`;

const rows = (warehouses: number) => `
  INSERT INTO w.item SELECT g, 'item ' || g, 1 + g % 90, repeat('d', 20 + g % 30) FROM generate_series(1, ${ITEMS}) g;
  INSERT INTO w.warehouse SELECT g, 'house ' || g, 'ZZ', 0.1234, 300000 FROM generate_series(1, ${warehouses}) g;
  INSERT INTO w.district SELECT w, d, 'd' || d, 0.05, 30000, 1 FROM generate_series(1, ${warehouses}) w, generate_series(1, ${DISTRICTS}) d;
  INSERT INTO w.customer SELECT w, d, c, 'NAME' || c % 10, CASE WHEN c % 10 = 0 THEN 'BC' ELSE 'GC' END, -10, 1, repeat(md5(c::text), 100)
    FROM generate_series(1, ${warehouses}) w, generate_series(1, ${DISTRICTS}) d, generate_series(1, ${CUSTOMERS}) c;
  INSERT INTO w.stock SELECT w, i, 50, repeat('s', 24), 0, 0 FROM generate_series(1, ${warehouses}) w, generate_series(1, ${ITEMS}) i;`;

export async function makeWarehouses(client: pg.Client, warehouses: number): Promise<void> {
  await client.query(SCHEMA);
  await client.query(rows(warehouses));
}

/** What another session's commit leads to: the transaction is tried no further. */
const CONFLICTS = new Set(["40001", "40P01", "23505"]);

/** Runs so many transactions in each of the sessions; resolves with how many were committed. */
export async function orderGoods(
  url: string,
  {
    warehouses,
    sessions,
    transactions,
    seed,
  }: { warehouses: number; sessions: number; transactions: number; seed: number },
): Promise<number> {
  const each = Array.from({ length: sessions }, async (_, session) => {
    const random = seeded(`warehouses ${seed} ${session}`);
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    let committed = 0;
    try {
      const isolation = session % 2 === 0 ? "READ COMMITTED" : "REPEATABLE READ";
      for (let count = 0; count < transactions; count++) {
        await client.query(`BEGIN ISOLATION LEVEL ${isolation}`);
        try {
          const isKept = await transact(client, random, warehouses);
          await client.query(isKept ? "COMMIT" : "ROLLBACK");
          committed += isKept ? 1 : 0;
        } catch (error) {
          if (!CONFLICTS.has((error as pg.DatabaseError).code ?? "")) throw error;
          await client.query("ROLLBACK");
        }
      }
    } finally {
      await client.end();
    }
    return committed;
  });
  return (await Promise.all(each)).reduce((sum, one) => sum + one, 0);
}

function transact(client: pg.Client, random: Random, warehouses: number): Promise<boolean> {
  const place = [random.int(1, warehouses), random.int(1, DISTRICTS)];
  const roll = random.int(1, 100);
  if (roll <= 45) return newOrder(client, random, place);
  if (roll <= 88) return pay(client, random, place);
  if (roll <= 92) return orderStatus(client, random, place);
  if (roll <= 96) return deliver(client, random, place);
  return stockLevel(client, place);
}

async function newOrder(client: pg.Client, random: Random, place: number[]): Promise<boolean> {
  const { rows: district } = await client.query(
    "UPDATE w.district SET next_order = next_order + 1 WHERE w_id = $1 AND d_id = $2 RETURNING next_order - 1 AS id",
    place,
  );
  const order = [...place, district[0].id];
  const lines = random.int(5, 15);
  await client.query("INSERT INTO w.orders VALUES ($1, $2, $3, $4, clock_timestamp(), NULL, $5)", [
    ...order,
    random.int(1, CUSTOMERS),
    lines,
  ]);
  await client.query("INSERT INTO w.new_order VALUES ($1, $2, $3)", order);
  for (let line = 1; line <= lines; line++) {
    const [item, quantity] = [random.int(1, ITEMS), random.int(1, 10)];
    await client.query(
      "UPDATE w.stock SET quantity = CASE WHEN quantity >= $3::int + 10 THEN quantity - $3::int ELSE quantity - $3::int + 91 END, ytd = ytd + $3::int, orders = orders + 1 WHERE w_id = $1 AND i_id = $2",
      [place[0], item, quantity],
    );
    await client.query(
      "INSERT INTO w.order_line SELECT $1, $2, $3, $4, i_id, NULL, $6::int, $6::int * price, repeat('i', 24) FROM w.item WHERE i_id = $5",
      [...order, line, item, quantity],
    );
  }
  return !random.chance(0.01); // the benchmark's order of an item that is not there
}

async function pay(client: pg.Client, random: Random, place: number[]): Promise<boolean> {
  const [customer, amount] = [random.int(1, CUSTOMERS), random.int(100, 500_000) / 100];
  await client.query("UPDATE w.warehouse SET ytd = ytd + $2 WHERE w_id = $1", [place[0], amount]);
  await client.query("UPDATE w.district SET ytd = ytd + $3 WHERE w_id = $1 AND d_id = $2", [...place, amount]);
  await client.query(
    `UPDATE w.customer SET balance = balance - $4::numeric, payments = payments + 1,
            data = CASE WHEN credit = 'BC' THEN left(c_id || ' ' || $4::numeric || '|' || data, 500) ELSE data END
      WHERE w_id = $1 AND d_id = $2 AND c_id = $3`,
    [...place, customer, amount],
  );
  await client.query("INSERT INTO w.history VALUES ($1, $2, $3, clock_timestamp(), $4, 'paid')", [
    ...place,
    customer,
    amount,
  ]);
  return true;
}

async function orderStatus(client: pg.Client, random: Random, place: number[]): Promise<boolean> {
  await client.query(
    "SELECT * FROM w.orders JOIN w.order_line USING (w_id, d_id, o_id) WHERE w_id = $1 AND d_id = $2 AND c_id = $3 ORDER BY o_id DESC LIMIT 15",
    [...place, random.int(1, CUSTOMERS)],
  );
  return true;
}

async function deliver(client: pg.Client, random: Random, [warehouse]: number[]): Promise<boolean> {
  for (let district = 1; district <= DISTRICTS; district++) {
    const { rows: oldest } = await client.query(
      `DELETE FROM w.new_order WHERE w_id = $1 AND d_id = $2 AND o_id = (SELECT min(o_id) FROM w.new_order WHERE w_id = $1 AND d_id = $2) RETURNING o_id`,
      [warehouse, district],
    );
    if (oldest.length === 0) continue;
    const order = [warehouse, district, oldest[0].o_id];
    await client.query("UPDATE w.orders SET carrier = $4 WHERE w_id = $1 AND d_id = $2 AND o_id = $3", [
      ...order,
      random.int(1, 10),
    ]);
    await client.query(
      "UPDATE w.order_line SET delivered = clock_timestamp() WHERE w_id = $1 AND d_id = $2 AND o_id = $3",
      order,
    );
    await client.query(
      `UPDATE w.customer c SET balance = balance + (SELECT sum(amount) FROM w.order_line l WHERE l.w_id = $1 AND l.d_id = $2 AND l.o_id = $3)
        FROM w.orders o WHERE o.w_id = $1 AND o.d_id = $2 AND o.o_id = $3 AND c.w_id = $1 AND c.d_id = $2 AND c.c_id = o.c_id`,
      order,
    );
  }
  return true;
}

async function stockLevel(client: pg.Client, place: number[]): Promise<boolean> {
  await client.query(
    "SELECT count(DISTINCT s.i_id) FROM w.order_line l JOIN w.stock s USING (w_id, i_id) WHERE l.w_id = $1 AND l.d_id = $2 AND s.quantity < 15",
    place,
  );
  return true;
}
