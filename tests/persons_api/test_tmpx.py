import orjson, pytest, os, time
from uuid import uuid4
from events import client
from events.rows import Table
@pytest.mark.parametrize("i", range(8))
def test_x(clickhouse, i):
    team_id = 1000+i
    lines = [orjson.dumps({"team_id": team_id, "uuid": str(uuid4()), "timestamp": f"{1900 + n}-01-01 00:00:00.000001"}) for n in range(399)]
    t=time.time()
    client.insert_json_rows(Table.EVENTS, b"\n".join(lines), token=str(uuid4()))
    took=time.time()-t
    n = client.query("SELECT count() FROM events WHERE team_id = {t:Int64}", {"t": team_id}).rows
    if n != [(399,)]:
        time.sleep(1)
        out = [n, took, client.query("SELECT count() FROM events").rows, client.query("select currentDatabase()").rows, os.environ["CLICKHOUSE_URL"][-30:],
          client.query("select database, active, count(), sum(rows), min(modification_time), max(modification_time), min(name), max(name), min(remove_time) from system.parts where table='events' group by 1,2").rows]
        raise AssertionError(repr(out))
