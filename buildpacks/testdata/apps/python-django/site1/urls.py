from django.http import HttpResponse
from django.urls import path

from notes.models import Note


def home(request):
    Note.objects.create(text="one")
    return HttpResponse("a note was kept\n")


urlpatterns = [path("", home)]
