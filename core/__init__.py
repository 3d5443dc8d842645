"""The domain engine: request, plan, SQL, response; commands, policies; and one module for each thing outside."""
