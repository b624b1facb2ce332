"""What belongs to the subscription and not to Azure ML: who is signed in, rights, and what is built before and after."""
