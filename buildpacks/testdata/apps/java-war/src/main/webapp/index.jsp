<p>war says <%= 6*7 %></p>
