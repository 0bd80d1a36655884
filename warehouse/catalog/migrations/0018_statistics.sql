-- Statistics for the tables that never had a row. They follow every migration: see warehouse/catalog/statistics.py.

SELECT 1;
