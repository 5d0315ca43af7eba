"""A call centre: its calls, their KPIs, and how these sound."""
