"""What answers hold: the form of each body, by REST framework's serializers."""
