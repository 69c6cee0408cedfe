"""What chat is: accounts, registration, users and their queues. Knows no protocol."""
