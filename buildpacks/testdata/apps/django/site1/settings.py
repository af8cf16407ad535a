import os

SECRET_KEY = os.environ.get("SECRET_KEY", "only for this test")
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "site1.urls"
