"""The tables that HogQL knows: what they are called, what columns and joins they have, and the SQL that reads them."""
